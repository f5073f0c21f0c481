"""`python -m runwright simulate`: how it is found."""

import pytest

from runwright.__main__ import main


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
