"""The TOML file: files by path, folder and pattern, what is held out, and every mistake named."""

from pathlib import Path

import pytest

from runwright import UserError
from runwright.domains.perturbation.data_plan import read_plan

SOUND = '[datasets]\na = "a.h5ad"\n"b.c" = "folder"\n[training]\na = "train"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("a.h5ad", "folder/x.h5ad", "folder/y.h5", "folder/notes.txt", "folder/z.h5ad"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path / "cells.toml"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_what_is_held_out_and_what_is_trained_on(project: Path) -> None:
    text = f'{SOUND}[zeroshot]\n"b.c.T cell"="val"\n[fewshot."a.U"]\nval=["p"]\ntest=["q", "r"]'
    plan = read_plan(written(project, text))
    assert plan.split_of("b.c", "T cell", "anything") == "val"
    assert plan.split_of("b.c", "U", "anything") is None  # b.c is not trained on
    assert plan.split_of("a", "T cell", "anything") == "train"
    found = [plan.split_of("a", "U", name) for name in ("p", "q", "r", "s")]
    assert found == ["val", "test", "test", "train"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("folder", ["x.h5ad", "y.h5", "z.h5ad"]),
        ("folder/*.h5ad", ["x.h5ad", "z.h5ad"]),
        ("folder/{z,x}.h5ad", ["z.h5ad", "x.h5ad"]),
        ("{a.h5ad,folder/y.{h5,h5}}", ["a.h5ad", "y.h5"]),
        ("**/?.h5", ["y.h5"]),
    ],
)
def test_a_data_set_is_a_file_a_folder_or_a_pattern(
    project: Path, pattern: str, names: list[str]
) -> None:
    text = f'[datasets]\na = "{pattern}"\n[training]\na = "train"\n'
    plan = read_plan(written(project, text))
    assert [path.name for path in plan.files["a"]] == names


def test_paths_are_relative_to_the_file_or_else_to_where_it_is_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = project.parent / "toml" / "cells.toml"
    elsewhere.parent.mkdir()
    monkeypatch.chdir(project.parent)
    plan = read_plan(written(elsewhere, '[datasets]\na="a.h5ad"\n[training]\na="train"'))
    assert plan.files["a"] == (Path("a.h5ad"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[datasets", "cells.toml is not valid TOML: "),
        ("[training]\n", "[datasets] is missing. It names the files"),
        ('[datasets]\na="a.h5ad"\n', '[training] names no data set. Add, for instance, `a = "trai'),
        ('[datasets]\na="b.h5ad"\n', "[datasets] a: there is no .h5ad or .h5 file at "),
        ("[datasets]\na=3\n", "[datasets] a must be a path or a pattern, got 3."),
        (f"{SOUND}[zero]\nx=1", "[zero] means nothing here. Did you mean 'zeroshot'?"),
        (f"training = 3\n{SOUND[: SOUND.index('[training]')]}", "training must be a table"),
        (SOUND.replace('\na = "train"', '\nb = "train"'), "[training] 'b' is not among [datasets]"),
        (SOUND.replace('"train"', '"test"'), "[training] a must be \"train\", got 'test'. Cells"),
        (f'{SOUND}[zeroshot]\n"c.T"="val"', "'c' is not among [datasets]."),
        (f'{SOUND}[zeroshot]\n"T"="val"', '[zeroshot] "T" must be "data set.cell type".'),
        (f'{SOUND}[zeroshot]\n"a.T"="valid"', 'must be "train", "val" or "test", got \'valid\'.'),
        (f'{SOUND}[fewshot."a.T"]\nvall=["p"]', "which is neither val nor test. Did you mean"),
        (f'{SOUND}[fewshot."a.T"]\nval="p"', "val must be a list of perturbations."),
        (f'{SOUND}[fewshot]\n"a.T"=["p"]', "must be a table with lists `val` and `test`"),
        (
            f'{SOUND}[zeroshot]\na.T="val"',
            '[zeroshot] a.T needs quotes, "a.T" = …: without them it',
        ),
        (f'{SOUND}[fewshot.a.T]\nval=["p"]', '[fewshot.a.T] needs quotes, [fewshot."a.T"].'),
        (
            f'{SOUND}[fewshot."a.T"]\nval=["p"]\ntest=["p"]',
            "[fewshot.\"a.T\"]: 'p' is in both val and test.",
        ),
        (
            f'{SOUND}[zeroshot]\n"a.T"="val"\n[fewshot."a.T"]\nval=["p"]',
            '"a.T" is in both [zeroshot] and [fewshot].',
        ),
    ],
)
def test_mistakes_are_named(project: Path, text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        read_plan(written(project, text))
    assert said in str(error.value)


def test_all_mistakes_come_at_once(project: Path) -> None:
    text = f'{SOUND}[zero]\nx=1\n[zeroshot]\n"c.T"="val"\n'
    with pytest.raises(UserError) as error:
        read_plan(written(project, text))
    assert "has 2 mistakes:" in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dm.toml_config_path=.*no.toml does not exist"):
        read_plan(tmp_path / "no.toml")


def test_what_is_held_out_must_be_in_the_files(project: Path) -> None:
    text = f'{SOUND}[zeroshot]\n"a.T"="val"\n[fewshot."a.U"]\nval=["p", "qq"]\ntest=["none"]'
    plan = read_plan(written(project, text))
    with pytest.raises(UserError) as error:
        plan.check_names({"a": ["U", "V"], "b.c": []}, {("a", "U"): ["none", "p", "q"]}, "none")
    text = str(error.value)
    assert "[zeroshot] a.T: 'a' has no cell type 'T'. Allowed: U, V" in text
    assert "there is no perturbation 'qq' of these cells. Did you mean 'q'?" in text
    assert (
        "[fewshot] a.U, test: 'none' is the control (dm.control_pert), which cannot be held out: "
        "its cells are what others are predicted from. Remove it."
    ) in text
