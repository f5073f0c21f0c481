"""What is read while it is trained on: killed, stopped and resumed, with any number of workers."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import torchrun
from conftest import last_of_each
from programs import Program, run_python, start_python
from runwright import compose
from streamed_domain import WAYS
from training.resume.conftest import DIE_AT_STEP_30, assert_equal_runs

OPTIONS = (
    *("dm=streamed_sets", "model=set_encoder", "gpu=-1", "pictures=false"),
    *("training.epochs=8", "training.log_every=5", "checkpoint.save_every=10"),
)
WITH_DOMAIN = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
MAIN = f"""
import sys
sys.path[:0] = {list(filter(None, sys.path))}
from runwright import app
app.main(conf=None, factories=["streamed_domain"])
"""


@pytest.fixture(params=WAYS)
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return (*OPTIONS, f"dm.way={request.param}")


@pytest.fixture
def main(tmp_path: Path) -> Path:
    path = tmp_path / "main.py"
    path.write_text(MAIN)
    return path


def workers_of(program: Program) -> list[int]:
    """The processes that a program has forked, while it runs."""
    tasks = Path(f"/proc/{program.pid}/task").glob("*/children")
    return [int(pid) for path in tasks for pid in path.read_text().split()]


def are_alive(pids: Iterable[int]) -> bool:
    def is_alive(pid: int) -> bool:
        try:
            return "Z" not in re.findall(r"^State:\s+(\w)", Path(f"/proc/{pid}/status").read_text())
        except OSError:
            return False

    return any(map(is_alive, pids))


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("killed_with", [0, 2])
def test_killed_and_resumed_with_other_workers_changes_no_byte(
    tmp_path: Path, options: tuple[str, ...], killed_with: int
) -> None:
    compose(options).run(tmp_path / "unbroken")
    program = f"import streamed_domain\n{DIE_AT_STEP_30}"
    arguments = [str(tmp_path / "broken"), *options, f"dm.num_workers={killed_with}"]
    done = run_python("-c", program, *arguments, env=WITH_DOMAIN)
    assert done.returncode == -signal.SIGKILL, done.stderr
    compose([*options, "dm.num_workers=1"]).run(tmp_path / "broken")
    assert_equal_runs(tmp_path / "unbroken", tmp_path / "broken")


@pytest.mark.slow
def test_kills_at_random_moments_change_no_byte_with_workers(tmp_path: Path) -> None:
    program = "import streamed_domain; from training.resume import kill_points; kill_points.main()"
    options = [*OPTIONS, "dm.way=dataset", "dm.num_workers=2"]
    arguments = last_of_each(*options, "training.epochs=20", "checkpoint.save_every=1")
    runs = tmp_path / "runs"
    run_python("-c", program, runs, "1", "5", *arguments, env=WITH_DOMAIN, check=True)
    for broken in runs.glob("broken-*[0-9]"):
        assert_equal_runs(runs / "unbroken", broken)


def start_long(main: Path, *more: str) -> tuple[Program, list[int]]:
    """A run that does not end by itself, from its first checkpoint on; and its workers."""
    options = last_of_each(*OPTIONS, "training.epochs=100000", "checkpoint.save_every=1", *more)
    arguments = (*options, "dm.num_workers=2", "hydra.run.dir=run")
    program = start_python(main, *arguments, start_new_session=True)
    wait_for(Path("run/checkpoints/last.state.safetensors").exists)
    workers = workers_of(program)
    assert len(workers) == (1 if "dm.way=stream" in more else 2)
    return program, workers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "name", "last"),
    [(signal.SIGINT, 130, "Ctrl-C", "Interrupted."), (signal.SIGTERM, 143, "SIGTERM", "")],
)
def test_a_signal_to_all_processes_is_told_once_and_saves(
    main: Path, number: int, status: int, name: str, last: str
) -> None:
    program, workers = start_long(main, "dm.way=dataset")
    os.killpg(program.pid, number)  # as a terminal does
    said, _ = program.communicate(timeout=60)
    assert program.returncode == status, said
    assert said.count(f"{name}: stopping after this step; a second signal stops at once.") == 1
    assert said.count("A checkpoint was saved. To resume:") == 1
    assert said.count("Interrupted.") == (1 if last else 0)
    assert "Traceback" not in said
    assert not are_alive(workers)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_workers_end_with_a_program_that_is_killed(main: Path, way: str) -> None:
    program, workers = start_long(main, f"dm.way={way}")
    program.kill()
    program.communicate(timeout=60)
    wait_for(lambda: not are_alive(workers), seconds=5)


@pytest.mark.slow
def test_a_worker_that_is_killed_fails_the_run_in_a_sentence(main: Path) -> None:
    options = ("dm.way=dataset", "dm.num_workers=2", "dm.deadly=17", "hydra.run.dir=run")
    done = run_python(main, *OPTIONS, *options)
    assert done.returncode == 1
    assert re.search(
        r"^Worker \d of 2, which gathers batches \(process \d+\), was killed by SIGKI"
        r"LL while it gathered the examples \d",
        done.stderr,
    )
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("way", ["dataset", "stream"])
def test_two_processes_with_workers_train_as_two_without(main: Path, way: str) -> None:
    for name, num_workers in (("without", 0), ("with", 2)):
        arguments = (*OPTIONS, f"dm.way={way}", f"dm.num_workers={num_workers}")
        started = torchrun.start_copies(f"hydra.run.dir={name}", options=arguments, script=main)
        torchrun.finish(started)
    assert torchrun.last_weights("with") == torchrun.last_weights("without")
    assert torchrun.measures("with") == torchrun.measures("without")
