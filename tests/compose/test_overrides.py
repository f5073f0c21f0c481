"""How to quote a value that Hydra's grammar does not accept: the advice is right."""

import shlex

import pytest

from conftest import REPOSITORY
from runwright import ConfigError, compose
from runwright.compose.overrides import several_values

CMNIST = ["dm=cmnist", "model=fcn"]


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose([*CMNIST, *overrides])
    return caught.value.problems[-1]


@pytest.mark.parametrize(
    "typed", ["pair=zip(model=choice(cnn,fcn),opt.lr=choice(0.1,0.2))", "model=zip(cnn,fcn)"]
)
def test_a_zip_is_answered_with_what_sweeps_values_together(typed: str) -> None:
    assert refused(typed).startswith(f"{typed}: Hydra has no zip(…). What is to change together is")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("chek", "the command `python -m runwright check`"),
        ("resluts", "the command `python -m runwright results`"),
        ("schma", "the command `python -m runwright schema`"),
        ("simulat", "the command `python -m runwright simulate`"),
        ("multirn", "'--multirun'"),
        ("sed", "'seed=…'"),
    ],
)
def test_a_single_word_is_answered_with_the_command_flag_or_option(word: str, meant: str) -> None:
    assert refused(word).endswith(f" Did you mean {meant}?")


def test_null_among_choices_is_written_with_commas() -> None:
    assert refused("opt.lr=choice(null, 0.5)").endswith(
        "Separate the values by commas only: 'opt.lr=null, 0.5'"
    )


def test_the_next_step_is_to_quote_for_hydra_and_for_the_shell() -> None:
    problem = refused("wandb.name=a=b")
    assert problem.endswith(
        "If a=b is meant as text, quote it, and quote the whole again for the shell: "
        "'wandb.name=\"a=b\"'"
    )


@pytest.mark.parametrize("value", ["{'re:^a': b}", "{re:^a[.]: ''}"])
def test_a_key_that_only_a_file_can_have_is_told_so(value: str) -> None:
    assert refused(f"finetune.rename={value}").endswith("give such a dictionary in a YAML file.")


@pytest.mark.parametrize(
    "value", ["a=b", "it's", 'say "a=b"', "a#b", "grün", "f(x)", "${x", "[a", "a=\\", "a,b"]
)
def test_what_is_advised_gives_the_text_that_was_typed(value: str) -> None:
    problem = refused(f"wandb.name={value}").removesuffix(".")
    (override,) = shlex.split(problem[problem.rindex(" 'wandb.name=") :])
    assert compose([*CMNIST, override]).wandb.name == value


def test_what_the_shell_took_apart_at_a_blank_is_quoted_together() -> None:
    assert refused("wandb.name=a", "b").endswith("quote both together: 'wandb.name=a b'")
    assert refused("wandb.tags=[a,", "b]").endswith("quote both together: 'wandb.tags=[a, b]'")


def test_what_a_list_has_is_quoted_each_by_itself() -> None:
    problem = refused('wandb.tags=[ü,"a b", c]')
    assert problem.endswith("""quote each: 'wandb.tags=["ü","a b",c]'""")
    (override,) = shlex.split(problem.rpartition("each: ")[2])
    assert compose([*CMNIST, override]).wandb.tags == ["ü", "a b", "c"]


def test_several_values_of_one_run_are_explained() -> None:
    assert several_values("wandb.tags=a,b", is_choice=False) == (
        "wandb.tags=a,b: these are several values. To run with each of them, add --multirun. As a "
        "list, write 'wandb.tags=[a,b]'; as one string, 'wandb.tags=\"a,b\"'."
    )
    assert several_values("model=cnn,fcn", is_choice=True).endswith("add --multirun.")
    assert refused("wandb.tags=a,b") == (
        "wandb.tags=a,b: these are several values. compose makes one configuration; call it once "
        "for each of them. As a list, write 'wandb.tags=[a,b]'."
    )
    assert refused("model=cnn,fcn").endswith("call it once for each of them.")


@pytest.mark.parametrize("models", ["cnn,resnet", "glob(c*)", "choice(fnn,cnn)"])
def test_the_first_of_several_members_has_the_options_that_are_given(models: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["dm=cmnist", f"model={models}", "model.kernel_size=3"])
    (problem,) = caught.value.problems
    assert problem.startswith(f"model={models}: these are several values. ")


def test_several_members_of_a_group_that_needs_a_plus_are_told_both() -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["dm=cmnist", "experiment=glob(*)"], conf=REPOSITORY / "conf")
    several, plus = caught.value.problems
    assert several.startswith("experiment=glob(*): these are several values. ")
    assert plus.endswith("Write +experiment=good_run")


def test_a_glob_in_a_group_that_does_not_exist_gets_the_nearest() -> None:
    said = "modl=glob(*): there is no group 'modl'. Did you mean 'model'? Allowed: "
    assert refused("modl=glob(*)").startswith(said)


@pytest.mark.parametrize(
    ("word", "meant"), [("sed", "seed=…"), ("multirum", "--multirun"), ("hlp", "--help")]
)
def test_a_word_without_a_value_gets_the_nearest(word: str, meant: str) -> None:
    problem = refused(word)
    assert problem.startswith(f"{word}: this does not set an option. An override is written key=")
    assert problem.endswith(f" Did you mean '{meant}'?")
    assert "\n" not in problem


@pytest.mark.parametrize("override", ["=3", "seed", "seed =3", "~a~b"])
def test_what_has_no_key_or_no_value_is_shown_the_form(override: str) -> None:
    assert "An override is written key=value, without spaces around the '='." in refused(override)
