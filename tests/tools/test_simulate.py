"""`simulate` finds what each domain can draw, and knows none itself."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from runwright import domains
from runwright.__main__ import main
from runwright.tools import simulate


def test_a_domain_registers_its_simulators_in_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sound").mkdir()
    (tmp_path / "sound" / "__init__.py").touch()
    (tmp_path / "silence").mkdir()  # a domain that draws nothing
    (tmp_path / "silence" / "__init__.py").touch()
    (tmp_path / "sound" / "simulators.py").write_text(
        "class Tones:\n"
        "    '''Pure tones.\n\n    Of one second.'''\n"
        "    def add_arguments(self, parser): parser.add_argument('--hertz', type=int)\n"
        "    def run(self, args): print('drawn at', args.hertz)\n"
        "SIMULATORS = {'tones': Tones()}\n"
    )
    monkeypatch.setattr(domains, "__path__", [*domains.__path__, str(tmp_path)])
    assert main(["simulate", "tones", "--hertz", "440"]) == 0
    assert capsys.readouterr().out == "drawn at 440\n"
    assert {"tones", "celeba"} <= set(simulate.simulators())


def test_the_tools_name_no_domain() -> None:
    names = [module.name for module in pkgutil.iter_modules(domains.__path__)]
    texts = [path.read_text() for path in Path(simulate.__file__).parent.rglob("*.py")]
    assert texts
    assert not [name for name in names for text in texts if f"domains.{name}" in text]


def test_to_know_what_can_be_drawn_loads_nothing_heavy() -> None:
    program = (
        "import sys; from runwright.tools.simulate import simulators; assert simulators(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'PIL', 'numpy')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["simulat"]) == 2
    assert "Did you mean 'simulate'?" in capsys.readouterr().err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("check", "results", "schema", "simulate"))
    assert main([]) == 2
