"""An option gets exactly what was typed for it: text unchanged, dictionaries whole."""

from pathlib import Path

import pytest
from hydra.types import RunMode

from runwright import Config, ConfigError, compose
from runwright.compose._hydra import search_path
from runwright.compose.loader import StrictConfigLoader
from runwright.compose.schema import store
from runwright.domains import register_domains
from runwright.domains.vision.choices import ColoredMNISTDataModule

CMNIST = ("dm=cmnist", "model=fcn")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A project's folder of YAML files, to which a test adds its own."""
    folder = tmp_path / "conf"
    (folder / "experiment").mkdir(parents=True)
    (folder / "config.yaml").write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: fcn}, _self_]\n"
    )
    return folder


def experiment(conf: Path, text: str) -> None:
    (conf / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}")


@pytest.mark.parametrize(
    "text", ["1_1_1", "1.10", "2024_01_05", "1e3", "017", "0x10", "true", "1:30", "-0", "007.50"]
)
def test_a_text_that_looks_like_a_number_keeps_its_characters(text: str) -> None:
    config = compose([*CMNIST, f"wandb.id={text}", f"++wandb.name={text}", f"wandb.dir={text}"])
    assert (config.wandb.id, config.wandb.name, config.wandb.dir) == (text, text, text)


def test_texts_in_a_list_keep_their_characters() -> None:
    config = compose([*CMNIST, "wandb.tags=[1.10, 2_0,'3.0', a]", "opt={lr: 1e-2}"])
    assert config.wandb.tags == ["1.10", "2_0", "3.0", "a"]
    assert vars(config.opt)["lr"] == 0.01


def test_a_path_keeps_its_characters_and_null_is_null() -> None:
    config = compose([*CMNIST, "checkpoint.load=2024_01", "wandb.name=null"])
    assert config.checkpoint.load == Path("2024_01")
    assert config.wandb.name is None


def test_a_number_is_read_as_one() -> None:
    config = compose([*CMNIST, "training.max_steps=1_000", "opt.lr=1.10", "training.val_every=5"])
    assert (config.training.max_steps, vars(config.opt)["lr"]) == (1000, 1.1)
    assert config.training.val_every == 5


def test_a_tilde_means_home_in_paths_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = compose([*CMNIST, "wandb.name=~x", "checkpoint.load=~/run"])
    assert config.wandb.name == "~x"
    assert config.checkpoint.load == Path("/home/me/run")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("wandb: {name: 1.10}", "wandb.name takes text, and YAML reads 1.10 as 1.1"),
        ("wandb: {group: 1:30}", "YAML reads 1:30 as 90"),
        ("wandb: {tags: [a, 1_0]}", "wandb.tags.1 takes text, and YAML reads 1_0 as 10"),
        ("wandb: {id: yes}", "wandb.id takes text, and YAML reads yes as True"),
        ("seed: 017", "YAML reads 017 as 15"),
        ("seed: 1:30", "YAML reads 1:30 as 90"),
    ],
)
def test_what_yaml_reads_otherwise_is_refused_with_its_line(
    conf: Path, line: str, said: str
) -> None:
    experiment(conf, f"\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        compose(["+experiment=mine"], conf=conf)
    (problem,) = caught.value.problems
    assert f"mine.yaml, line 3: {said}" in problem.replace(": wandb", ": wandb")
    assert "quote it: '" in problem.lower()


def test_quoted_text_in_a_file_is_text(conf: Path) -> None:
    experiment(conf, "wandb: {name: '1.10', group: '1:30', tags: ['017']}\nseed: 1_0\n")
    config = compose(["+experiment=mine"], conf=conf)
    assert (config.wandb.name, config.wandb.group, config.wandb.tags) == ("1.10", "1:30", ["017"])
    assert config.seed == 10


def test_a_dictionary_on_the_command_line_takes_the_place_of_that_in_a_file(conf: Path) -> None:
    experiment(conf, "dm: {label_map: {3: 0, 8: 1}}\nopt: {optimizer_kwargs: {momentum: 0.9}}\n")
    config = compose(
        ["+experiment=mine", "dm.label_map={1:0,7:1}", "opt.optimizer_kwargs={}"], conf=conf
    )
    assert isinstance(config.dm, ColoredMNISTDataModule)
    assert config.dm.label_map == {1: 0, 7: 1}
    assert vars(config.opt)["optimizer_kwargs"] == {}


def test_texts_in_a_block_keep_their_characters() -> None:
    config = compose([*CMNIST, "wandb={name:1.10,id:1_1,tags:[1_0,'2_0']}"])
    assert (config.wandb.name, config.wandb.id) == ("1.10", "1_1")
    assert config.wandb.tags == ["1_0", "2_0"]


@pytest.mark.filterwarnings("ignore:extend_list")
def test_a_text_that_is_added_to_a_list_keeps_its_characters(conf: Path) -> None:
    experiment(conf, "wandb: {tags: [a]}\n")
    config = compose(["+experiment=mine", "wandb.tags=extend_list(1_0,b)"], conf=conf)
    assert config.wandb.tags == ["a", "1_0", "b"]


def test_a_dictionary_in_a_block_takes_the_place_of_that_in_a_file(conf: Path) -> None:
    experiment(conf, "opt: {optimizer_kwargs: {momentum: 0.9}}\n")
    config = compose(["+experiment=mine", "opt={optimizer_kwargs:{dampening:0.1}}"], conf=conf)
    assert vars(config.opt)["optimizer_kwargs"] == {"dampening": 0.1}


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_a_number_is_added_to_the_keys_of_a_dictionary(conf: Path, sign: str) -> None:
    experiment(conf, "dm: {label_map: {3: 0, 8: 1}}\n")
    config = compose(["+experiment=mine", f"{sign}dm.label_map.5=1"], conf=conf)
    assert isinstance(config.dm, ColoredMNISTDataModule)
    assert config.dm.label_map == {3: 0, 8: 1, 5: 1}


def test_a_dictionary_in_a_file_takes_the_place_of_that_in_another(conf: Path) -> None:
    (conf / "dm").mkdir()
    (conf / "dm" / "two.yaml").write_text("defaults: [cmnist]\nlabel_map: {3: 0, 8: 1}\n")
    experiment(conf, "defaults: [{override /dm: two}]\ndm: {label_map: {1: 0, 7: 1}}\n")
    config = compose(["+experiment=mine"], conf=conf)
    assert isinstance(config.dm, ColoredMNISTDataModule)
    assert config.dm.label_map == {1: 0, 7: 1}


def test_one_key_of_a_dictionary_is_set_by_its_name(conf: Path) -> None:
    experiment(conf, "opt: {optimizer_kwargs: {eps: 0.1, foreach: false}}\n")
    config = compose(["+experiment=mine", "opt.optimizer_kwargs.eps=0.2"], conf=conf)
    assert vars(config.opt)["optimizer_kwargs"] == {"eps": 0.2, "foreach": False}
    config = compose(["+experiment=mine", "opt.optimizer_kwargs.fused=true"], conf=conf)
    assert vars(config.opt)["optimizer_kwargs"] == {"eps": 0.1, "foreach": False, "fused": True}


@pytest.mark.parametrize(
    ("twice", "key"),
    [
        (("opt.lr=1", "opt.lr=2"), "opt.lr"),
        (("seed=1", "++seed=2"), "seed"),
        (("opt.lr=1", "opt={lr:0.1}"), "opt.lr"),
        (("opt={lr:0.1}", "opt.lr=1"), "opt.lr"),
        (("opt={lr:0.1}", "opt={weight_decay:1}"), "opt"),
        (("opt={optimizer_kwargs:{a:1}}", "opt.optimizer_kwargs.a=2"), "opt.optimizer_kwargs.a"),
        (("dm.label_map={1:0,2:1}", "dm.label_map.2=0"), "dm.label_map.2"),
    ],
    ids=str,
)
def test_an_option_that_is_given_twice_is_refused(twice: tuple[str, str], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*CMNIST, *twice])
    assert caught.value.problems[0] == (
        f"{twice[0]}: {key} is set 2 times, also as {twice[1]}. Keep only one."
    )


@pytest.mark.parametrize(
    ("part", "whole", "key"),
    [
        ("dm.label_map.5=0", "dm.label_map={1:0,7:1}", "dm.label_map"),
        ("wandb.tags.0=b", "wandb.tags=[a]", "wandb.tags"),
        ("+opt.optimizer_kwargs.a=0", "opt={optimizer_kwargs:{b:1}}", "opt.optimizer_kwargs"),
    ],
)
def test_a_part_that_a_later_value_replaces_is_refused(part: str, whole: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*CMNIST, part, whole])
    assert caught.value.problems == (
        f"{part} has no effect before {whole}, which gives all of {key}. Put it behind that.",
    )


def test_a_key_behind_a_whole_dictionary_is_set_in_it() -> None:
    config = compose([*CMNIST, "dm.label_map={1:0,7:1}", "dm.label_map.3=1"])
    assert isinstance(config.dm, ColoredMNISTDataModule)
    assert config.dm.label_map == {1: 0, 7: 1, 3: 1}


def test_a_plus_before_an_option_is_told_as_that() -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*CMNIST, "+seed=2"])
    assert caught.value.problems == (
        "+seed=2: seed has a value already, and + adds what is new. Write seed=2",
    )


@pytest.mark.parametrize("others", [("cmnist/cnn",), ("cmnist/cnn", "cmnist/cnn")])
def test_an_experiment_that_is_chosen_twice_is_told_once(others: tuple[str, ...]) -> None:
    also = [f"+experiment={name}" for name in others]
    with pytest.raises(ConfigError) as caught:
        compose(["+experiment=cmnist/cnn", *also])
    (problem,) = caught.value.problems
    times = f"experiment is set {len(also) + 1} times, also as {' and '.join(also)}. Keep only one."
    assert problem == f"+experiment=cmnist/cnn: {times}"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("dm.label_map.1=3", "dm.label_map.1: 'dm.label_map' is null (to give it keys: dm.label_m"),
        ("opt.lr.peak=3", "opt.lr.peak: 'opt.lr' takes a number, so there is nothing below it."),
        ("+opt.lr.peak=3", "opt.lr.peak: 'opt.lr' takes a number, so there is nothing below it."),
    ],
)
def test_a_key_below_what_has_none_is_told_with_what_stands_there(typed: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*CMNIST, typed])
    (problem,) = caught.value.problems
    assert problem.startswith(said)


def test_a_file_that_takes_the_place_of_a_factory_is_refused(conf: Path) -> None:
    (conf / "model").mkdir()
    (conf / "model" / "cnn.yaml").write_text("defaults: [fcn]\nnum_hidden: 2\n")
    with pytest.raises(ConfigError, match=r"cnn\.yaml replaces the factory model=cnn"):
        compose(["model=cnn"], conf=conf)


def test_a_file_in_the_place_of_a_factory_is_refused_also_for_a_job(conf: Path) -> None:
    (conf / "model").mkdir()
    (conf / "model" / "cnn.yaml").write_text("defaults: [fcn]\nnum_hidden: 2\n")
    register_domains()
    store(Config)
    loader = StrictConfigLoader(search_path(conf))
    sweep = loader.load_configuration("config", ["model=fcn,cnn"], RunMode.MULTIRUN)
    assert loader.load_sweep_config(sweep, ["model=fcn"]).model.num_hidden
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"cnn\.yaml replaces the factory model=cn"):
            loader.load_sweep_config(sweep, ["model=cnn"])


def test_a_file_in_the_place_of_the_factory_that_it_changes_is_told_one_way(conf: Path) -> None:
    (conf / "model").mkdir()
    (conf / "model" / "cnn.yaml").write_text("kernel_size: 3\n")
    with pytest.raises(ConfigError) as caught:
        compose(["model=cnn"], conf=conf)
    (problem,) = caught.value.problems
    assert "Give the file another name; if it changes options of the factory" in problem


def test_keys_that_are_numbers_are_no_mistake_beside_one(conf: Path) -> None:
    experiment(conf, "dm: {label_map: {3: 0, 8: 1}}\nopt: {lrr: 1}\n")
    with pytest.raises(ConfigError) as caught:
        compose(["+experiment=mine"], conf=conf)
    (problem,) = caught.value.problems
    assert "opt.lrr is not an option" in problem


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("seed=1,2", []),
        ("opt.lr=1,2", []),
        ("wandb.name=1,2", ["As one string, 'wandb.name=\"1,2\"'."]),
        ("wandb.tags=1,2", ["As a list, write 'wandb.tags=[1,2]'."]),
        ("wandb.nam=1,2", ["As a list, write", "as one string"]),
    ],
)
def test_only_what_an_option_takes_is_advised_for_several_values(
    text: str, ways: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*CMNIST, text])
    (problem,) = caught.value.problems
    assert problem.count("write") + problem.count("one string") == len(ways)
    assert all(way in problem for way in ways)


def test_a_group_that_a_defaults_list_chooses_twice_is_refused(conf: Path) -> None:
    (conf / "config.yaml").write_text(
        "defaults: [config_schema, {dm: cmnist}, {model: cnn}, {model: cnn}, _self_]\n"
    )
    with pytest.raises(ConfigError) as caught:
        compose([], conf=conf)
    assert caught.value.problems == (
        "In config.yaml: the defaults list has 'model' twice. Keep only one.",
    )


@pytest.mark.parametrize(
    ("entries", "twice"),
    [
        ("{model: fcn}, {model: cnn}, _self_", "model"),
        ("{model: fcn}, {override model: cnn}, {override model: fcn}, _self_", "override model"),
        ("{model: fcn}, {experiment: mine}, {experiment: mine}, _self_", "experiment"),
        (
            "{model: fcn}, {override hydra/launcher: joblib}, {override hydra/launcher: basic}",
            "override hydra/launcher",
        ),
        ("{model: fcn}, _self_, _self_", "_self_"),
        ("config_schema, {model: fcn}, _self_", "config_schema"),
    ],
)
def test_an_entry_that_is_twice_in_a_defaults_list_is_told(
    conf: Path, entries: str, twice: str
) -> None:
    experiment(conf, "seed: 3\n")
    (conf / "config.yaml").write_text(f"defaults: [config_schema, {{dm: cmnist}}, {entries}]\n")
    with pytest.raises(ConfigError) as caught:
        compose([], conf=conf)
    assert caught.value.problems == (
        f"In config.yaml: the defaults list has '{twice}' twice. Keep only one.",
    )


def test_an_entry_that_is_twice_in_an_experiment_is_told(conf: Path) -> None:
    experiment(conf, "defaults: [override /model: cnn, override /model: fcn]\n")
    with pytest.raises(ConfigError) as caught:
        compose(["+experiment=mine"], conf=conf)
    assert caught.value.problems == (
        "In experiment/mine.yaml: the defaults list has 'override /model' twice. Keep only one.",
    )


def test_a_package_is_named_without_a_colon(conf: Path) -> None:
    (conf / "experiment" / "mine.yaml").write_text("# @package: _global_\nseed: 3\n")
    with pytest.raises(ConfigError, match="package"):
        compose(["+experiment=mine"], conf=conf)


def test_a_name_in_a_dictionary_keeps_its_characters() -> None:
    config = compose(
        [*CMNIST, "finetune.checkpoint=a.pth", "finetune.rename={7.: hidden., 1_0: 1.10}"]
    )
    assert config.finetune.rename == {"7.": "hidden.", "1_0": "1.10"}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["stage=test", "then=[predict]"], "then has no effect with stage=test: these stages fo"),
        (["then=test"], "then must be a list, got test. Write then=[test]."),
        (
            ["opt.no_decay=bias"],
            "opt.no_decay must be a list, got bias. Write opt.no_decay=[bias].",
        ),
        (["opt.no_decay=[bias]"], "opt.no_decay has no effect with opt.weight_decay=0"),
    ],
    ids=str,
)
def test_what_would_do_nothing_or_is_no_list_says_what_to_write(
    overrides: list[str], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert said in str(caught.value)
