"""Two processes, killed and resumed, with schedules and steps of one's own: no byte changes."""

import signal
import sys
from pathlib import Path

import pytest

from programs import Program
from torchrun import finish, start_copies
from training.resume.conftest import assert_equal_runs
from training.resume.test_optimizers import OPTIONS, WAYS, reduced

MAIN = f"""
import sys
sys.path[:0] = {list(filter(None, sys.path))}
from runwright import app
app.main(conf=None, factories=["own_optimizers"])
"""
# The first process kills all of them, wherever the others are.
DYING = """
import os, signal
from runwright.rundir.checkpoint import Checkpoints
save = Checkpoints.save
def save_and_die(self, step, *rest):
    save(self, step, *rest)
    if step == 30:
        os.killpg(0, signal.SIGKILL)
Checkpoints.save = save_and_die
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", ["plateau", "plateau of the training loss", "a step of one's own", "accumulated"]
)
def test_two_processes_killed_and_resumed_change_no_byte(way: str) -> None:
    Path("main.py").write_text(MAIN)
    Path("dying.py").write_text(DYING + MAIN)
    options = (*OPTIONS, *WAYS[way])

    def start(name: str, script: str = "main.py") -> Program:
        return start_copies(f"hydra.run.dir={name}", options=options, script=Path(script))

    finish(start("unbroken"))
    finish(start("broken", "dying.py"), status=-signal.SIGKILL)
    assert "Resuming after step 30 of 45." in finish(start("broken"))
    assert_equal_runs(Path("unbroken"), Path("broken"))
    if "plateau" in way:
        assert reduced(Path("broken")) < 1
