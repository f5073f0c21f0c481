"""`python -m runwright simulate`: its options, and how it is found."""

from pathlib import Path

import pytest

from runwright.__main__ import main


def test_the_root_may_be_below_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main(["simulate", "celeba", "--root=~/data", "--num-images", "2"]) == 0
    assert (tmp_path / "home" / "data" / "celeba").is_dir()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--num-images", "0"], "must be ≥ 1, got 0"),
        (["--correlation", "1.5"], "must be ≥ 0, ≤ 1, got 1.5"),
        (["--seed", "-1"], "must be ≥ 0, got -1"),
    ],
)
def test_bounds_of_the_options(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "celeba", *arguments])
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_an_unknown_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["simulat"]) == 2
    assert "Did you mean 'simulate'?" in capsys.readouterr().err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("check", "schema", "simulate"))
    assert main([]) == 2
