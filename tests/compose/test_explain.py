"""Every mistake in what was typed is named, with what was meant, and all at once."""

from pathlib import Path

import pytest

from compose.conftest import CMNIST, mistakes


def test_a_key_of_another_model_is_refused_with_what_this_one_has() -> None:
    (problem,) = mistakes("dm=cmnist", "model=cnn", "model.hidden_dim=10")
    assert problem == (
        "model.hidden_dim is not an option: SimpleCNNFactory has no 'hidden_dim', which model=fcn "
        "has. "
        "It has: kernel_size, pool_stride, activation."
    )


def test_an_option_of_a_stage_that_follows_is_refused_with_the_stages_that_have_it() -> None:
    given = ("dm=cmnist", "model=cnn", "then=[test]", "stage.num_bootstrap_runs=10")
    (problem,) = mistakes(*given)
    assert problem.startswith(
        "stage.num_bootstrap_runs is not an option: Fit has no 'num_bootstrap_runs', which "
        "stage=validate and stage=test"
    )
    assert problem.endswith(" have. It has no options.")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("+model.hiden=3", "Did you mean 'model.num_hidden'?"),
        ("model.actvation=GELU", "Did you mean 'model.activation'?"),
        ("+experimnt=good_run", "Did you mean 'experiment'?"),
        ("++trainig.epochs=2", "Did you mean 'training'?"),
        ("+opt={learning_rate: 0.1}", "opt.learning_rate is not an option: TorchOptimizer"),
        ("model=cn", "Did you mean 'cnn'?"),
        ("+model=cn", "cn"),
        ("sed=3", "Did you mean 'seed'?"),
        ("model.activation=RELUU", "Did you mean 'RELU'?"),
        ("model.activation=gelu", "Did you mean 'GELU'?"),
        ("opt.schedule=cosin", "Did you mean 'cosine'?"),
        ("opt.lr=fast", "opt.lr must be a number > 0, got 'fast'"),
        ("opt.lr=0", "opt.lr must be > 0, got 0"),
        (f"seed={2**64}", f"seed must be ≥ 0, ≤ {2**64 - 1}, got {2**64}"),
        ("seed=1" + 400 * "0", "seed must be ≥ 0, ≤ "),
        (f"model.hidden_dim={2**63}", f"model.hidden_dim must be a 64-bit number, got {2**63}"),
        ("opt.lr=inf", "opt.lr must be a finite number > 0, got inf"),
        ("gpu=-2", "gpu must be ≥ -1, got -2"),
        ("opt.lr=${optt.lr}", "opt.lr: Interpolation key 'optt.lr' not found"),
        ("~opt.lr", "~opt.lr: an option cannot be deleted. Give it a value, opt.lr=…, or leave"),
        (
            "~wandb.name",
            "~wandb.name: an option cannot be deleted. Give it a value, wandb.name=… (o",
        ),
        ("~seed", "~seed: an option cannot be deleted. Give it a value, seed=…, or leave this out"),
        ("~opt", "~opt: one must be chosen. Leave this out, or choose another: opt="),
        ("~training", "~training: an option cannot be deleted. Leave this out, and set the opti"),
        ("opt=[1]", "opt=[1]: 1: there is no such opt. Allowed: "),
        ("opt=tortch", "opt=tortch: there is no such opt. Did you mean 'torch'?"),
        ("~model", "~model: one must be chosen. Leave this out, or choose another: model=cnn|"),
        ("~opt.lrr", "Did you mean 'opt.lr'?"),
        ("+opt={foo: 3}", "TorchOptimizer has no 'foo'. It has: lr, weight_decay"),
        ("opt.lr=[1", "opt.lr=[1"),
        (
            "seed=1,2",
            "several values. compose makes one configuration; call it once for each of them",
        ),
        ("seed=choice(1,2)", "seed=choice(1,2): these are several values. compose makes one"),
        ("hydration=3", "hydration is not an option: Config has no 'hydration'. It has: dm"),
    ],
)
def test_a_mistake_is_named(override: str, expected: str) -> None:
    (problem,) = mistakes(*CMNIST, override)
    assert expected in problem


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.actvation=GELU", "Did you mean 'model.activation'? It has: num_hidden"),
        ("model.hidden_di=3", "Did you mean 'model.hidden_dim'? It has: num_hidden"),
        ("trainig.epochs=2", "Did you mean 'training'? It has: dm, model"),
        ("dm.labelmap.a=3", "Did you mean 'dm.label_map'? It has: root"),
        ("opt={lr: 3, lrr: 3}", "Did you mean 'opt.lr'? It has: lr, weight_decay"),
        ("model[hiden]=3", "Did you mean 'model.num_hidden'? It has: num_hidden"),
    ],
)
def test_the_nearest_name_is_said_once_and_with_its_full_key(override: str, expected: str) -> None:
    (problem,) = mistakes(*CMNIST, override)
    assert expected in problem
    assert problem.count("Did you mean") == 1


@pytest.mark.parametrize(
    "overrides",
    [
        ("sed=3", "sed=3"),
        ("sed=3", "++sed=4"),
        ("+model.hiden=3", "+model.hiden=4"),
        ("trainig.epochs=2", "trainig.max_steps=3"),
        ("model=cn", "model=cn"),
        ("opt.lr=fast", "opt.lr=fast"),
        ("opt.lr=[1", "opt.lr=[1"),
    ],
    ids=" ".join,
)
def test_a_mistake_that_is_made_twice_is_listed_once(overrides: tuple[str, str]) -> None:
    twice, *others = mistakes(*CMNIST, *overrides)
    is_unread = overrides[0] in ("trainig.epochs=2", "opt.lr=[1")
    assert len(others) == (0 if is_unread else 1)
    assert "is set 2 times" in twice or is_unread


def test_all_mistakes_are_reported_together() -> None:
    problems = mistakes(
        "dm=cmnist",
        "model=cnn",
        "model.kernel_size=0",
        "sed=3",
        "opt.lrr=1",
        "+foo.bar=2",
        "training.epochs=some",
        "dm.num_colors=11",
        "opt.warmup=2.5",
    )
    text = "\n".join(problems)
    assert len(problems) == 8
    for key in (
        "model.kernel_size must be ≥ 1, got 0",
        "sed is not an option: Config has no 'sed'. Did you mean 'seed'?",
        "opt.lrr is not an option: TorchOptimizer has no 'lrr'. Did you mean 'opt.lr'?",
        "foo is not an option",
        "training.epochs must be an integer ≥ 1 or null, got 'some'",
        "dm.num_colors must be ≥ 1, ≤ 10, got 11",
        "opt.warmup as a fraction must be ≤ 1, got 2.5",
    ):
        assert key in text


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["opt.lr=0", "opt.warmup=2"], ["opt.lr must be", "opt.warmup must be 0 with opt.sched"]),
        (["+opt.lrr=1", "opt.warmup=2"], ["opt.lrr is not", "opt.warmup must be 0 with opt.sch"]),
        (
            ["training.log_every=0", "training.parallel=fsdp", "training.precision=fp16"],
            [
                "training.log_every must be",
                "training.precision=fp16 cannot be combined with training.p",
            ],
        ),
        # What follows from a mistake is no mistake of its own.
        (["dm.num_colors=11", "dm.colors=[1,2]"], ["dm.num_colors must be"]),
        (["opt.warmup=-2.5", "opt.schedule=one_cycle"], ["opt.warmup must be ≥ 0"]),
    ],
    ids=str,
)
def test_a_broken_bound_does_not_hide_the_rules_on_other_options(
    overrides: list[str], expected: list[str]
) -> None:
    problems = mistakes(*CMNIST, *overrides)
    assert len(problems) == len(expected)
    assert all(text.startswith(start) for text, start in zip(problems, expected, strict=True))


def test_that_the_parts_do_not_fit_is_said_beside_what_is_wrong_elsewhere() -> None:
    import toy_domain

    assert toy_domain
    problems = mistakes("dm=toy_sets", "model=fcn", "opt.lr=0")
    assert len(problems) == 2
    assert problems[0] == "opt.lr must be > 0, got 0.0"
    assert problems[1].startswith("model=fcn does not fit dm=toy_sets")


def test_null_for_what_is_required_lists_the_choices(conf: Path) -> None:
    (conf / "model" / "wide.yaml").write_text("defaults: [fcn]\nhidden_dim: 300\n")
    for key, members in (
        ("model", {"cnn", "fcn", "resnet", "torchvision", "wide"}),
        ("dm", {"celeba", "cmnist"}),
    ):
        (problem,) = mistakes(f"{key}=null", conf=str(conf))
        said, _, allowed = problem.removesuffix(".").partition(" Allowed: ")
        assert said == f"{key}=null: one must be chosen."
        assert members <= set(allowed.split(", "))  # other tests may have registered more


def test_the_members_to_choose_from_include_the_files(conf: Path) -> None:
    (conf / "model" / "wide.yaml").write_text("defaults: [fcn]\nhidden_dim: 300\n")
    (problem,) = mistakes("~model", conf=str(conf))
    offered = problem.rpartition("model=")[2].removesuffix(".").split("|")
    assert {"cnn", "fcn", "resnet", "torchvision", "wide"} <= set(offered)


def test_a_wrong_choice_does_not_draw_wrong_conclusions() -> None:
    problems = mistakes("dm=cmnits", "model=cnn", "dm.colors=[1]", "model.kernel_size=0")
    assert len(problems) == 2
    assert "Did you mean 'cmnist'?" in problems[0]
    assert problems[1] == "model.kernel_size must be ≥ 1, got 0"
