"""How tests run: the programs that they start, and the order of their files."""

import signal
import subprocess
from pathlib import Path

import pytest

from conftest import LONGEST, REPOSITORY
from programs import run_python, start_python

# A copy of a process that has imported torch, and a new Python.
KINDS = pytest.mark.parametrize("env", [{}, {"PYTHONHASHSEED": "1"}], ids=["copied", "new"])

SPEAK = """
import os, sys
print(os.getcwd(), sys.argv[1:], "torch" in sys.modules)
print("an error", file=sys.stderr)
sys.exit(3)
"""
WAIT = "import time; print('ready', flush=True); time.sleep(60)"


@KINDS
def test_a_program_has_its_directory_arguments_streams_and_status(
    env: dict[str, str], tmp_path: Path
) -> None:
    done = run_python("-c", SPEAK, "a", "b c", cwd=tmp_path, env=env)
    assert done.stdout == f"{tmp_path} ['a', 'b c'] {not env}\n"
    assert done.stderr == "an error\n"
    assert done.returncode == 3
    with pytest.raises(subprocess.CalledProcessError):
        run_python("-c", SPEAK, env=env, check=True)


@KINDS
def test_a_program_can_be_waited_for_in_vain_and_then_be_ended(env: dict[str, str]) -> None:
    with start_python("-c", WAIT, env=env, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        for wait in (program.wait, program.communicate):
            with pytest.raises(subprocess.TimeoutExpired):
                wait(timeout=0.1)
        assert program.poll() is None
        program.send_signal(signal.SIGINT)
        _, error = program.communicate(timeout=60)
    assert error.endswith("KeyboardInterrupt\n")
    assert program.poll() == program.returncode == -signal.SIGINT
    program.kill()  # is no error


@KINDS
def test_a_program_that_takes_too_long_is_killed(env: dict[str, str]) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_python("-c", WAIT, env=env, timeout=0.1)


def test_the_files_to_begin_with_are_there() -> None:
    assert [name for name in LONGEST if not (REPOSITORY / "tests" / name).exists()] == []
