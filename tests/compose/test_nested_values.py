"""Options that lie in the value of another: all mistakes in it are told, each with its full key."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.types import RunMode
from torch import nn

from runwright import ConfigError, compose
from runwright.cli.mistakes import mistakes_of_multirun
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.compose.schema import store
from runwright.config import Config
from runwright.domains import register_domains
from runwright.domains.vision.dims import ImageDims
from runwright.factory import CONFIG_GROUPS, Settings, factory, option, settings
from runwright.model import ModelFactory


@settings
class PartCfg(Settings):
    """A part."""

    lr: float = option(default=0.1, gt=0, doc="learning rate")
    width: int = option(default=1, ge=1, doc="width")


@settings
class Inner(Settings):
    """Options below options."""

    parts: list[PartCfg] = option(default=[], doc="parts")
    first: PartCfg = option(default=PartCfg(), doc="the first part")


@settings
class NamedCfg(Settings):
    """A part with a name."""

    name: str = option(default="", doc="name")


OF_PART = "PartCfg has no '{}'. It has: lr, width."
MEANT = "Did you mean 'model.parts.0.lr'? It"
TYPED = {
    "model.parts=[{lrr:1},{foo:2,lr:3}]": [
        f"model.parts.0.lrr is not an option: {OF_PART.format('lrr').replace('It', MEANT)}",
        f"model.parts.1.foo is not an option: {OF_PART.format('foo')}",
    ],
    "model.inner={parts:[{lr:1},{foo:2}],first:{bar:3},baz:4}": [
        f"model.inner.parts.1.foo is not an option: {OF_PART.format('foo')}",
        f"model.inner.first.bar is not an option: {OF_PART.format('bar')}",
        "model.inner.baz is not an option: Inner has no 'baz'. It has: parts, first.",
    ],
    "model.parts=[{lr:a},3,{width:b,foo:1}]": [
        "model.parts.0.lr must be a number > 0, got 'a'",
        "model.parts.1 must be options, {lr: …}, got 3",
        "model.parts.2.width must be an integer ≥ 1, got 'b'",
        f"model.parts.2.foo is not an option: {OF_PART.format('foo')}",
    ],
    "model.widths=[a,1,b,null,{c:1}]": [
        "model.widths.0 must be an integer, got 'a'",
        "model.widths.2 must be an integer, got 'b'",
        "model.widths.3 must be an integer, got null",
        "model.widths.4 must be an integer, got {'c': 1}",
    ],
}


@pytest.fixture(autouse=True)
def model() -> Iterator[None]:
    register_domains()
    before = dict(CONFIG_GROUPS["model"])

    @factory("of_parts")
    class OfParts(ModelFactory[ImageDims]):
        """A model of parts."""

        parts: list[PartCfg] = option(default=[], doc="parts")
        inner: Inner = option(default=Inner(), doc="more of them")
        tags: dict[str, str] = option(default={}, doc="anything")
        named: list[NamedCfg] = option(default=[], doc="parts with names")
        widths: list[int] = option(default=[], doc="widths")
        counts: dict[str, int] = option(default={}, doc="counts")
        by_name: dict[str, PartCfg] = option(default={"first": PartCfg()}, doc="parts by name")
        texts: list[list[str]] = option(default=[], doc="texts")

        def build(self, dims: ImageDims) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(dims.height, dims.num_classes))

    assert OfParts
    yield
    CONFIG_GROUPS["model"] = before


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    folder = tmp_path / "conf"
    for group in ("model", "experiment"):
        (folder / group).mkdir(parents=True)
    (folder / "config.yaml").write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: of_parts}, _self_]\n"
    )
    return folder


@pytest.mark.parametrize("override", TYPED)
def test_all_that_is_wrong_in_what_is_typed_is_told(conf: Path, override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([override, "opt.lr=0"], conf=str(conf))
    assert list(caught.value.problems) == [*TYPED[override], "opt.lr must be > 0, got 0.0"]


@pytest.mark.parametrize("override", TYPED)
def test_all_that_is_wrong_in_a_file_is_told_with_the_file(conf: Path, override: str) -> None:
    key, _, value = override.partition("=")
    name = key.partition(".")[2]
    value = value.replace(":", ": ")
    (conf / "model" / "mine.yaml").write_text(f"defaults: [of_parts]\n{name}: {value}\n")
    experiment = f"# @package _global_\nmodel:\n  {name}: {value}\n"
    (conf / "experiment" / "mine.yaml").write_text(experiment)
    for chosen in ("model=mine", "+experiment=mine"):
        with pytest.raises(ConfigError) as caught:
            compose([chosen], conf=str(conf))
        file = f"{chosen.lstrip('+').replace('=', '/')}.yaml"
        assert sorted(caught.value.problems) == sorted(f"In {file}: {t}" for t in TYPED[override])


def test_all_that_is_wrong_in_a_dictionary_is_told(conf: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["model.counts={a:x,b:1,c:[2],d:y}"], conf=str(conf))
    assert list(caught.value.problems) == [
        "model.counts.a must be an integer, got 'x'",
        "model.counts.c must be an integer, got [2]",
        "model.counts.d must be an integer, got 'y'",
    ]


def test_a_list_or_a_dictionary_in_the_place_of_a_value_is_refused(conf: Path) -> None:
    said = ("model.texts.0.1 must be text, got {'b': 1}", "wandb.tags.1 must be text, got ['d']")
    text = "texts: [[a, {b: 1}]]\n"
    (conf / "model" / "mine.yaml").write_text(f"defaults: [of_parts]\n{text}")
    for chosen in (["model.texts=[[a,{b:1}]]"], ["model=mine"]):
        with pytest.raises(ConfigError) as caught:
            compose([*chosen, "wandb.tags=[c,[d]]"], conf=str(conf))
        told = (text.removeprefix("In model/mine.yaml: ") for text in caught.value.problems)
        assert tuple(told) == said


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("then", "{a: 1}", "then must be a list of texts, got {'a': 1}. A list is written [A, B]."),
        ("then", "{}", "then must be a list of texts, got {}. A list is written [A, B]."),
        (
            "wandb.tags",
            "{a: b}",
            "wandb.tags must be a list of texts or null, got {'a': 'b'}. A list is written",
        ),
        (
            "opt.optimizer_kwargs",
            "[1]",
            "opt.optimizer_kwargs must be a dictionary or null, got [1]. A",
        ),
        ("opt.optimizer_kwargs", "1", "opt.optimizer_kwargs must be a dictionary, got 1. Write "),
        ("seed", "{a: 1}", "seed must be an integer ≥ 0, ≤ 18446744073709551615, got {'a': 1}"),
        ("seed", "[1]", "seed must be an integer ≥ 0, ≤ 18446744073709551615, got [1]"),
        ("then", "test", "then must be a list, got test. Write then"),
    ],
)
def test_what_is_written_like_another_type_is_told_with_the_options_own_key(
    conf: Path, key: str, value: str, said: str
) -> None:
    nested = value
    for name in reversed(key.split(".")):
        nested = f"{{{name}: {nested}}}"
    (conf / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{nested}\n")
    for overrides, file in [
        ([f"{key}={value}"], ""),
        (["+experiment=mine"], "In experiment/mine.yaml: "),
    ]:
        with pytest.raises(ConfigError) as caught:
            compose(overrides, conf=str(conf))
        (problem,) = caught.value.problems
        assert problem.startswith(file + said)


def test_all_that_is_wrong_in_the_values_of_a_multirun_is_told(conf: Path) -> None:
    store(Config)
    loader = StrictConfigLoader(search_path(conf))
    typed = ["model.parts=[{lrr:1},{foo:2}],[{bar:1}]"]
    multirun = loader.load_configuration("config", typed, RunMode.MULTIRUN)
    with pytest.raises(ConfigError) as caught:
        loader.load_sweep_config(multirun, ["model.parts=[{lrr:1},{foo:2}]"])
    told = mistakes_of_multirun(caught.value, loader, "config", typed)
    keys = [text.partition(" ")[0] for text in told.problems]
    assert keys == ["model.parts.0.lrr", "model.parts.1.foo", "model.parts.0.bar"]


def test_what_is_right_in_a_file_stands_beside_a_dictionary(conf: Path) -> None:
    text = "defaults: [of_parts]\nparts: [{lr: 0.2}, {width: 2}]\ntags: {a: b}\n"
    (conf / "model" / "mine.yaml").write_text(text)
    changed = compose(["model=mine", "model.parts.1.lr=0.3"], conf=str(conf)).model
    assert vars(changed)["parts"] == [PartCfg(lr=0.2), PartCfg(lr=0.3, width=2)]
    assert vars(changed)["tags"] == {"a": "b"}


@pytest.mark.parametrize(
    ("text", "key"),
    [("named: [{name: a}, {name: 1.10}]", "named.1.name"), ("texts: [[a, 1.10]]", "texts.0.1")],
)
def test_text_in_a_list_of_a_file_that_yaml_reads_as_a_number_is_named(
    conf: Path, text: str, key: str
) -> None:
    file = conf / "model" / "mine.yaml"
    file.write_text(f"defaults: [of_parts]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        compose(["model=mine"], conf=str(conf))
    said = f"model.{key} takes text, and YAML reads 1.10 as 1.1. Quote it: '1.10'."
    assert caught.value.problems == (f"{file}, line 2: {said}",)
    file.write_text(file.read_text().replace("1.10", "'1.10'"))
    assert "1.10" in str(compose(["model=mine"], conf=str(conf)).model)


def test_an_element_that_a_list_does_not_have_cannot_be_changed(conf: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["model.parts=[{lr:1}]", "model.parts.1.lr=3"], conf=str(conf))
    (problem,) = caught.value.problems
    assert problem == (
        "model.parts.1.lr: model.parts has one entry, model.parts.0. To give all of it: "
        "model.parts=[…]"
    )
    with pytest.raises(ConfigError) as caught:
        compose(["model.parts=[{lr:1}]", "model.parts.0.lrr=3"], conf=str(conf))
    assert "Did you mean 'model.parts.0.lr'?" in str(caught.value)


def by_name(conf: Path, *overrides: str) -> dict[str, PartCfg]:
    return vars(compose(overrides, conf=str(conf)).model)["by_name"]


def test_an_entry_of_a_dictionary_of_settings_is_changed_by_its_name(conf: Path) -> None:
    first = PartCfg(width=7)
    assert by_name(conf, "model.by_name.first.width=7") == {"first": first}
    added = {"first": PartCfg(), "more": first}
    for override in ("+model.by_name.more.width=7", "model.by_name.more={width: 7}"):
        assert by_name(conf, override) == added
    assert by_name(conf, "+model.by_name.more={}", "model.by_name.more.width=7") == added
    (conf / "model" / "mine.yaml").write_text("defaults: [of_parts]\nby_name: {more: {width: 7}}\n")
    assert by_name(conf, "model=mine", "model.by_name.more.lr=2") == {
        "more": PartCfg(lr=2, width=7)
    }


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "model.by_name.frist.width=7",
            (
                "model.by_name.frist.width: model.by_name has no 'frist'. Did you mean 'first'? "
                "Allowed: first. To add it, write +model.by_name.frist.width=…"
            ),
        ),
        ("model.by_name.first.widht=7", "Did you mean 'model.by_name.first.width'?"),
        ("+model.by_name.more.widht=7", "Did you mean 'model.by_name.more.width'?"),
    ],
)
def test_a_typo_in_a_dictionary_of_settings_is_told(conf: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([override], conf=str(conf))
    assert said in str(caught.value)
