"""Domains, and the project here, add commands to `python -m runwright`, which knows none itself."""

import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright import COMMANDS, Command, UserError, command, domains
from runwright.__main__ import main
from runwright.cli.flags import versions

TONES = """\
import runwright as rw

@rw.command("simulate tones")
class SimulateTones(rw.Command):
    '''Pure tones.

    Of one second.'''
    def add_arguments(self, parser): parser.add_argument('--hertz', type=int)
    def run(self, args): print('drawn at', args.hertz)
"""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test adds is gone after it."""
    domains.register_commands()
    before = dict(COMMANDS)
    yield
    COMMANDS.clear()
    COMMANDS.update(before)


def test_a_domain_adds_its_commands_in_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sound").mkdir()
    (tmp_path / "sound" / "__init__.py").touch()
    (tmp_path / "silence").mkdir()  # a domain that adds nothing
    (tmp_path / "silence" / "__init__.py").touch()
    (tmp_path / "sound" / "commands.py").write_text(TONES)
    monkeypatch.setattr(domains, "__path__", [*domains.__path__, str(tmp_path)])
    assert main(["simulate", "tones", "--hertz", "440"]) == 0
    assert capsys.readouterr().out == "drawn at 440\n"
    assert main(["simulate", "--help"]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^  simulate tones +Pure tones\.\n", listed, re.MULTILINE)
    assert re.search(r"^  simulate celeba +Draw cartoon faces", listed, re.MULTILINE)
    assert "check" not in listed
    assert main(["simulate"]) == 2
    assert capsys.readouterr().err == listed


def test_a_module_of_the_project_adds_commands_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "of_my_sounds.py").write_text(TONES.replace("simulate tones", "hum"))
    (tmp_path / "main.py").write_text(
        "from runwright import app\n\napp.main(None, factories=['of_my_sounds'])\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    assert main(["hum", "--hertz=1"]) == 0
    assert capsys.readouterr().out == "drawn at 1\n"
    assert main(["--help"]) == 0
    assert re.search(r"^  hum +Pure tones\.\n", capsys.readouterr().out, re.MULTILINE)


def test_the_core_names_no_domain() -> None:
    names = [module.name for module in pkgutil.iter_modules(domains.__path__)]
    package = Path(domains.__file__).parents[1]
    texts = {
        path: path.read_text()
        for path in package.rglob("*.py")
        if not path.is_relative_to(package / "domains") or path.parent.name == "domains"
    }
    assert texts
    assert not [path for name in names for path, text in texts.items() if f"domains.{name}" in text]


def test_to_know_the_commands_loads_nothing_heavy() -> None:
    program = (
        "import sys; from runwright.tools.of_domains import every_command; assert every_command(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'PIL', 'numpy', 'hydra')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["chek"]) == 2
    assert "There is no command 'chek'. Did you mean 'check'?" in capsys.readouterr().err
    assert main(["simulate", "celbea"]) == 2
    error = capsys.readouterr().err
    assert "There is no command 'simulate celbea'. Did you mean 'simulate celeba'?" in error


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{versions()}\n"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}  " in out for name in ("check", "results", "schema", "simulate celeba"))
    assert main([]) == 2


@pytest.mark.parametrize("name", ["", "Simulate x", "--x", "simulate  x", "x=1"])
def test_a_name_that_could_not_be_typed_is_refused(name: str) -> None:
    class Anything(Command):
        """It does nothing."""

        def run(self, args: object) -> None: ...

    with pytest.raises(TypeError, match="cannot be the name of Anything: use words"):
        command(name)(Anything)


def test_one_without_a_description_is_refused() -> None:
    class Anything(Command):
        def run(self, args: object) -> None: ...

    Anything.__doc__ = None
    with pytest.raises(TypeError, match="Anything has no docstring"):
        command("anything")(Anything)


def test_one_that_begins_like_another_is_refused() -> None:
    class Anything(Command):
        """It does nothing."""

        def run(self, args: object) -> None: ...

    domains.register_commands()
    with pytest.raises(UserError, match=r"'simulate \w+' and 'simulate'"):
        command("simulate")(Anything)
    with pytest.raises(UserError, match="'results mine' and 'results'"):
        command("results mine")(Anything)
