"""A value of a wrong type is told in one sentence: the option, what it takes, what it was given."""

import typing
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
import yaml
from hydra.types import RunMode

from compose.conftest import CMNIST, mistakes
from runwright import Config, ConfigError, compose, hints
from runwright.cli.mistakes import mistakes_of_multirun
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.compose.nested_values import wrong_within
from runwright.compose.schema import schema_node, store
from runwright.compose.typed_nodes import option_types
from runwright.domains import register_domains
from runwright.factory import CONFIG_GROUPS, Settings, group_of, is_settings

INTERNAL = (
    *("full_key", "reference_type", "object_type", "Error merging", "Factory", "Cfg", "DataModule"),
    *("Value '", "converted", "of type", "Integer", "Float", "None", "Optional", "assigned"),
    *("DictConfig", "ListConfig", "container", "incompatible", "validat"),
)
WRONG: dict[str, Any] = {
    "tall": {int, float, bool},
    "null": {int, float, bool, str, Path},
    "1.25": {int},
    "true": {int, float},
    "[[a]]": {int, float, bool, str, Path},
    "{a: [b]}": {int, float, bool, str, Path},
}
"""Values as they are written, and the types of options that do not take them."""


def members() -> Iterator[tuple[str, str]]:
    register_domains()
    for group in ("dm", "model", "objective", "opt", "machine", "stage"):
        for name, cls in CONFIG_GROUPS[group].items():
            if cls.__module__.startswith("runwright."):
                yield group, name


def options(cls: type[Settings], key: str) -> Iterator[tuple[str, Any]]:
    """Every option that has no options of its own, and its type."""
    for name, hint in option_types(cls).items():
        if group_of(hint) is None and not is_settings(hint):
            yield f"{key}.{name}" if key else name, hint
        elif isinstance(hint, type) and group_of(hint) is None:
            yield from options(hint, f"{key}.{name}" if key else name)


def refusing(cls: type[Settings], key: str, value: str) -> dict[str, Any]:
    """The options that do not take a value."""
    return {
        name: hint
        for name, hint in options(cls, key)
        if hints.is_scalar(hint)
        and not (value == "null" and hints.is_optional(hint))
        and {*hints.scalars_in(hint)} - {NoneType} <= {*WRONG[value], *names_of(hint)}
    }


def names_of(hint: Any) -> set[Any]:
    """The literals and enums in a type, which take none of the wrong values."""
    kinds = hints.alternatives(hint)
    return {kind for kind in kinds if hints.names_in(kind) or typing.get_args(kind)}


def in_file(keys: list[str], value: str, conf: Path) -> str:
    nested: dict[str, Any] = {}
    for key in keys:
        *above, name = key.split(".")
        place = nested
        for one in above:
            place = place.setdefault(one, {})
        place[name] = value
    text = str(nested).replace(f"'{value}'", value)
    (conf / "experiment" / "wrong.yaml").write_text(f"# @package _global_\n{text}\n")
    return "+experiment=wrong"


def refused(chosen: dict[str, type[Settings]], value: str) -> list[str]:
    return [key for group, cls in chosen.items() for key in refusing(cls, group, value)]


@pytest.mark.parametrize("value", WRONG)
def test_no_wrong_value_of_any_option_is_told_with_internals(conf: Path, value: str) -> None:
    chosen = {"": Config} | {
        group: CONFIG_GROUPS[group][name]
        for group, name in (("dm", "cmnist"), ("model", "fcn"), ("opt", "torch"))
    }
    keys = refused(chosen, value)
    assert len(keys) > 15
    typed = [f"{key}={value.replace(': ', ':')}" for key in keys]
    for overrides in (typed, [in_file(keys, value, conf)]):
        said = mistakes("dm=cmnist", "model=fcn", *overrides, conf=str(conf))
        told = [text.removeprefix("In experiment/wrong.yaml: ") for text in said]
        assert {*keys} <= {text.partition(" must be ")[0] for text in told}
        assert not [text for text in told for word in INTERNAL if word in text]


@pytest.mark.parametrize(("group", "name"), [*members()], ids=str)
def test_no_wrong_value_within_a_member_is_told_with_internals(group: str, name: str) -> None:
    cls = CONFIG_GROUPS[group][name]
    composed = schema_node(Config)
    composed[group] = schema_node(cls)
    for value in WRONG:
        names = [key.partition(".")[2] for key in refusing(cls, group, value)]
        given = dict.fromkeys(names, yaml.safe_load(value))
        told = wrong_within(group, given, composed)
        keys = [text.partition(" must be ")[0] for text in told]
        assert keys == [f"{group}.{name}" for name in names]
        assert not [text for text in told for word in INTERNAL if word in text]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "training.precision=fp33",
            "training.precision must be one of fp32, bf16, fp16, got 'fp33'. Did you mean 'fp32'?",
        ),
        ("opt.lr=high", "opt.lr must be a number > 0, got 'high'"),
        ("opt.lr={a: high}", "opt.lr must be a number > 0, got {'a': 'high'}"),
        ("seed=1.5", f"seed must be an integer ≥ 0, ≤ {2**64 - 1}, got 1.5"),
        ("training.epochs=[2]", "training.epochs must be an integer ≥ 1 or null, got [2]"),
        ("print_model=false", "print_model must be one of summary, whole, got false"),
        ("pictures=maybe", "pictures must be true or false, got 'maybe'"),
        ("wandb.mode=null", "wandb.mode must be one of online, offline, disabled, got null"),
        ("dm.source=3", "dm.source must be one of bundled, mnist, got 3"),
        ("training.parallel=[a]", "training.parallel must be one of ddp, fsdp, got ['a']"),
        ("checkpoint.load=[a]", "checkpoint.load must be a path or null, got ['a']"),
        ("dm.colors=[a]", "dm.colors.0 must be an integer ≥ 0, ≤ 9, got 'a'"),
        ("dm.label_map={x: 3}", "dm.label_map.x: the keys of dm.label_map must be integers, got "),
        ("dm.label_map={3: x}", "dm.label_map.3 must be an integer, got 'x'"),
        ("then=null", "then must be a list of texts, got null"),
        ("then=[[1]]", "then.0 must be text, got [1]"),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence_wherever_it_is(
    conf: Path, override: str, said: str
) -> None:
    key, _, value = override.partition("=")
    (problem,) = mistakes(*CMNIST, override.replace(": ", ":"))
    assert problem.startswith(said)
    (problem,) = mistakes(in_file([key], value, conf), conf=str(conf))
    assert problem.removeprefix("In experiment/wrong.yaml: ").startswith(said)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["then=[test]", "then.0.foo=1"], "then.0.foo: 'then.0' takes text, so there is nothing"),
        (["dm.label_map={1:0,2:1}", "dm.label_map.x=3"], "dm.label_map.x: the keys of dm.label_"),
        (["dm.label_map={1:0,2:1}", "dm.label_map.3=x"], "dm.label_map.3 must be an integer, got"),
        (["opt.lr=${training.precision}"], "opt.lr must be a number > 0, got 'fp32' from ${train"),
        (["training=3"], "training holds options, `training.epochs=…`, got 3."),
        (["opt.lr=interval(a,b)"], "opt.lr=interval(a,b): Hydra cannot read this: interval(…)"),
        # What follows from a mistake is no mistake of its own.
        (["machine.data_path={a:1}"], "machine.data_path must be a path, got {'a': 1}"),
    ],
    ids=str,
)
def test_a_wrong_value_below_an_option_is_told_with_what_the_option_takes(
    overrides: list[str], said: str
) -> None:
    (problem,) = mistakes(*CMNIST, *overrides)
    assert problem.startswith(said)


def test_a_wrong_value_in_a_multirun_or_a_search_is_told_in_the_same_words(
    repository: Path,
) -> None:
    register_domains()
    store(Config)
    for overrides in (
        ["training.precision=fp32,fp33"],
        ["hydra/sweeper=runwright", "training.precision=choice(fp32,fp33)"],
    ):
        loader = StrictConfigLoader(search_path(repository / "conf"))
        found = mistakes_of_multirun(ConfigError([]), loader, "config", overrides)
        (problem,) = found.problems
        assert problem.startswith("training.precision must be one of fp32, bf16, fp16, got 'fp33'.")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("hydra.job.num=x", "hydra.job.num must be an integer, got 'x'"),
        ("hydra.run.dir=[1]", "hydra.run.dir must be text, got [1]"),
        ("hydra.job.chdir=3", "hydra.job.chdir must be true or false, got 3"),
        ("hydra.job.chdir='0'", "hydra.job.chdir must be true or false, got '0'"),
        ("hydra.mode=RUNN", "hydra.mode must be one of RUN, MULTIRUN, null, got 'RUNN'. Did you m"),
    ],
)
def test_a_wrong_value_of_hydras_own_is_told_in_the_same_words(
    repository: Path, override: str, said: str
) -> None:
    register_domains()
    store(Config)
    loader = StrictConfigLoader(search_path(repository / "conf"))
    with pytest.raises(ConfigError) as caught:
        loader.load_configuration("config", [override], RunMode.RUN)
    (problem,) = caught.value.problems
    assert problem.startswith(said)


@pytest.mark.parametrize("number", ["3", "0", "1", "-1", "'3'"])
def test_a_number_is_neither_true_nor_false(conf: Path, number: str) -> None:
    for overrides, key in (
        ([f"pictures={number}"], "pictures"),
        ([f"opt={{decay_bias_and_norm:{number}}}"], "opt.decay_bias_and_norm"),
    ):
        assert mistakes(*CMNIST, *overrides) == (f"{key} must be true or false, got {number}",)
    file = conf / "experiment" / "mine.yaml"
    file.write_text(f"# @package _global_\nopt: {{decay_bias_and_norm: {number}}}\n")
    said = f"{file}, line 2: opt.decay_bias_and_norm must be true or false, got {number}"
    assert mistakes(*CMNIST, "+experiment=mine", conf=str(conf)) == (said,)


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("${seed}", "42"),
        ("${.seed}", "42"),
        ("${opt.weight_decay}", "0.0"),
        ("${wandb.name}", "'3'"),
    ],
)
def test_what_is_true_or_false_does_not_refer_to_a_number(
    conf: Path, reference: str, value: str
) -> None:
    said = f"pictures must be true or false, got {value} from {reference}"
    name = "wandb.name='3'"
    assert mistakes(*CMNIST, name, f"pictures={reference}") == (said,)
    (conf / "experiment" / "mine.yaml").write_text(f"# @package _global_\npictures: {reference}\n")
    assert mistakes(*CMNIST, name, "+experiment=mine", conf=str(conf)) == (said,)


def test_what_is_true_or_false_refers_to_what_is() -> None:
    assert not compose([*CMNIST, "tensorboard=false", "pictures=${tensorboard}"]).pictures
