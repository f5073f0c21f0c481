"""How the programs end: no traceback except for a bug, and a status that says what happened."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runwright.cli.exit_status import exit_status
from runwright.errors import RunError, UserError

MAIN = str(Path(__file__).parents[2] / "main.py")
PROGRAMS = [
    [MAIN, "--help"],
    [MAIN, "--cfg", "job"],
    [MAIN, "--info"],
    ["-m", "runwright", "--help"],
    ["-m", "runwright", "check", "dm=cmnist", "model=cnn"],
    ["-m", "runwright", "check", "--help"],
]


def raising(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UserError("Mend it."), 2, "Mend it.\n"),
        (RunError("It failed."), 1, "It failed.\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_what_stopped_a_program_is_said_in_a_sentence(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(lambda: raising(error)) == status
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("bug", [AssertionError(), BrokenPipeError("of a worker's pipe")])
def test_a_bug_passes_through(bug: Exception) -> None:
    with pytest.raises(type(bug)):
        exit_status(lambda: raising(bug))


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_a_program_ends_quietly_when_nobody_reads(program: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as `| head` does when it has seen enough
    done = subprocess.run(
        [sys.executable, *program], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 1)  # argparse and logging do not tell


# Python imports a module of this name at its start: Ctrl-C comes while `{module}` is imported.
CTRL_C_AT_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a script puts behind "&"
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
"""


@pytest.mark.parametrize(
    ("program", "module"),
    [
        ([MAIN], "omegaconf"),
        ([MAIN], "hydra._internal.hydra"),
        ([MAIN], "runwright.domains.vision.choices"),
        ([MAIN, "gpu=-1"], "torch"),
        (["-m", "runwright", "check"], "omegaconf"),
        (["-m", "runwright", "check"], "torch"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[-2:]),
)
def test_ctrl_c_at_the_start_ends_a_program_without_a_traceback(
    program: list[str], module: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(CTRL_C_AT_IMPORT.format(module=module))
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, *program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stderr == "Interrupted.\n"
    assert done.returncode == 130


# Python imports a module of this name at its start: Ctrl-C comes while the program winds up.
CTRL_C_AT_THE_END = """
import atexit, os, signal
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
"""


@pytest.mark.parametrize(("options", "status"), [(["--help"], 0), (["modle=cnn"], 2)])
def test_ctrl_c_at_the_end_changes_neither_what_is_said_nor_the_status(
    options: list[str], status: int, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(CTRL_C_AT_THE_END)
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, MAIN, *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert "KeyboardInterrupt" not in done.stderr
    assert done.returncode == status
    assert ("Config" in done.stdout) == (status == 0)
