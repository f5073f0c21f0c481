"""All mistakes are reported together: of all parts, all values of a multirun, all rules."""

import functools
from pathlib import Path

import pytest
from hydra.types import RunMode

from conftest import Run
from runwright import Config, ConfigError
from runwright.cli.mistakes import mistakes_of_multirun
from runwright.cli.needs_building import problems_beside
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.compose.schema import store
from runwright.domains import register_domains


@pytest.fixture
def loader(repository: Path) -> StrictConfigLoader:
    register_domains()
    store(Config)
    return StrictConfigLoader(search_path(repository / "conf"))


def test_a_run_is_told_also_what_only_building_can_tell(run_main: Run, tmp_path: Path) -> None:
    done = run_main("model=cnn", "model.kernel_size=40", "opt.optimizer_cls=Adan", "seed=x")
    assert done.returncode == 2
    assert done.stderr.startswith("The configuration has 3 mistakes:\n1. seed must be an integer ≥")
    assert "2. opt.optimizer_cls: torch.optim has no 'Adan'" in done.stderr
    assert "3. model.kernel_size=40 and model.pool_stride=2 leave no pixels" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_multirun_is_told_what_is_wrong_with_any_of_its_values(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main("-m", "model=cnn,cn", "seed=1,x", "opt.optimizer_cls=SGD,Adan")
    assert done.returncode == 2
    assert done.stderr.startswith("The configuration has 3 mistakes:\n1. seed must be an integer ≥")
    assert "2. model=cn: there is no such model. Did you mean 'cnn'?" in done.stderr
    assert "3. opt.optimizer_cls: torch.optim has no 'Adan'" in done.stderr
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["opt.lr=-1", "model=cnn", "model.kernel_size=40"], ["opt.lr must", "model.kernel_size="]),
        (["dm=cmnits", "opt.optimizer_cls=Adan"], ["dm=cmnits: ", "opt.optimizer_cls: "]),
        (
            ["model=cn", "objective.class_weights=[1]"],
            ["model=cn: ", "objective.class_weights"],
        ),
        (["+sed=1", "training.monitor=val_lss"], ["sed is not", "training.monitor=val_lss"]),
        (["+sed=1", "dm.num_colors=0"], ["sed is not", "dm.num_colors must be"]),
        (["training.epochs=0", "training.monitor=val_lss"], ["training.epochs must be"]),
    ],
    ids=str,
)
def test_what_is_right_is_built_beside_what_is_wrong(
    loader: StrictConfigLoader, overrides: list[str], expected: list[str]
) -> None:
    loader.check_parts = functools.partial(problems_beside, overrides=overrides)
    with pytest.raises(ConfigError) as caught:
        loader.load_configuration("config", overrides, RunMode.RUN)
    found = caught.value.problems
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["seed=1,x", "opt.lr=0.1,-1,-2"], ["got 'x'", "got -1.0", "got -2.0"]),
        (["model=fcn,cnn,cn", "seed=-1"], ["seed must be ≥ 0", "model=cn: "]),
        (["training.epochs=range(0,100)"], ["training.epochs must be ≥ 1, got 0"]),
        (["opt.lr=choice(1,-1)", "opt.warmup=interval(0,1)"], ["got -1.0"]),
        (["+experiment=glob(good*)", "seed=-1,-2"], ["got -1", "got -2"]),
        (["model=cnn", "model.kernel_size=30,40"], ["kernel_size=30 ", "kernel_size=40 "]),
        (["model.num_hidden=2,1", "sed=1", "opt.lr=[1"], ["opt.lr=[1", "sed is not an option"]),
        (["seed=1,2"], []),
    ],
    ids=str,
)
def test_every_value_of_a_multirun_is_looked_at(
    loader: StrictConfigLoader, overrides: list[str], expected: list[str]
) -> None:
    found = mistakes_of_multirun(ConfigError([]), loader, "config", overrides).problems
    assert len(found) == len(expected)
    assert all(text in problem for problem, text in zip(found, expected, strict=True))


def test_what_was_told_with_its_job_is_not_told_again(loader: StrictConfigLoader) -> None:
    told = ConfigError(["opt.lr must be > 0, got -1.0\n   Trial: opt.lr=-1"])
    found = mistakes_of_multirun(told, loader, "config", ["opt.lr=-1", "seed=-1"]).problems
    assert found == (*told.problems, "seed must be ≥ 0, ≤ 18446744073709551615, got -1")


WEIGHTS = "# @package _global_\nmodel: {weights: null}\n"
PARAMS = "defaults: [basic]\nparams: {model: 'resnet,torchvision'}\n"


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=resnet,torchvision", "model.weights=null"],
        ["model=resnet,torchvision", "+experiment=weights"],
        ["hydra/sweeper=two", "model.weights=null"],
        ["hydra.sweeper.params={model:'resnet,torchvision'}", "model.weights=null"],
        ["hydra.sweeper.params={model:'resnet,torchvision'}", "+experiment=weights"],
    ],
    ids=["typed", "in a file", "params in a file", "params", "params beside a file"],
)
def test_options_of_the_models_that_vary_are_not_looked_for_in_the_usual_one(
    tmp_path: Path, overrides: list[str]
) -> None:
    register_domains()
    store(Config)
    for path, text in (
        ("config.yaml", "defaults: [config_schema, {dm: cmnist}, {model: fcn}, _self_]\n"),
        ("experiment/weights.yaml", WEIGHTS),
        ("hydra/sweeper/two.yaml", PARAMS),
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    loader = StrictConfigLoader(search_path(tmp_path))
    loader.load_configuration("config", overrides, RunMode.MULTIRUN)
    assert mistakes_of_multirun(ConfigError([]), loader, "config", overrides).problems == ()
    wrong = [*overrides, "seed=-1"]
    loader.load_configuration("config", wrong, RunMode.MULTIRUN)
    (problem,) = mistakes_of_multirun(ConfigError([]), loader, "config", wrong).problems
    assert problem.startswith("seed must be ≥ 0")


def test_what_varies_on_the_command_line_and_in_params_there_is_refused(
    loader: StrictConfigLoader,
) -> None:
    params = "hydra.sweeper.params={seed:'3,4'}"
    with pytest.raises(ConfigError) as caught:
        loader.load_configuration("config", ["seed=1,2", params], RunMode.MULTIRUN)
    (problem,) = caught.value.problems
    assert problem == f"seed=1,2: seed is set 2 times, also as {params}. Keep only one."
