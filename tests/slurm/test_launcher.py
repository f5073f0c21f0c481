"""`hydra/launcher=slurm/…`: jobs run what was composed, survive preemption, are watched."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

from conftest import REPOSITORY, SMALL, last_of_each
from programs import Program, run_python, start_python
from slurm.servers import processes_of
from slurm.slurm import Slurm
from test_own_project import IN_ONE_FILE
from torchrun import finish, start_copies

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

# About ten seconds of training, so that there is a middle to be interrupted in.
LONG = (
    *("model.hidden_dim=128", "gpu=-1", "pictures=false", "dm.batch_size=32"),
    *("training.epochs=40", "training.val_every=250", "training.log_every=250"),
)


def submit(slurm: Slurm, *arguments: str, main: Path | None = None) -> Program:
    """`python main.py --multirun hydra/launcher=slurm/cpu …`, in the working directory."""
    script = main or REPOSITORY / "main.py"
    launcher = ("--multirun", "hydra/launcher=slurm/cpu", "hydra.launcher.poll_every=1")
    sweep = last_of_each(*launcher, "hydra.sweep.dir=sweep", *arguments)
    return start_python(script, *sweep, env=slurm.env)


def wait_for_text(path: Path, text: str, timeout: float = 300) -> None:
    deadline = time.monotonic() + timeout
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{path} does not say '{text}'"
        time.sleep(0.1)


def array_of(slurm: Slurm) -> str:
    (array,) = {job.partition("_")[0] for job in slurm.squeue()}
    return array


def unbroken(tmp_path: Path, *options: str) -> bytes:
    """The last weights of a run that nobody interrupts."""
    run_dir = tmp_path / "unbroken"
    once = last_of_each(*options, f"hydra.run.dir={run_dir}")
    run_python(REPOSITORY / "main.py", *once, check=True)
    return (run_dir / "checkpoints" / "last.safetensors").read_bytes()


def second_task(slurm: Slurm) -> int:
    """The process of the second task of the one job that runs."""
    (found,) = (
        process
        for process in processes_of(slurm.servers.folder)
        if b"\0SLURM_PROCID=1\0" in Path(f"/proc/{process}/environ").read_bytes()
    )
    return found


def results(slurm: Slurm, folder: str) -> str:
    return run_python("-m", "runwright", "results", folder, env=slurm.env, check=True).stdout


def last_weights(number: int) -> bytes:
    return Path(f"sweep/{number}/checkpoints/last.safetensors").read_bytes()


def test_a_job_makes_way_twice_and_goes_on_exactly(slurm: Slurm, tmp_path: Path) -> None:
    longer = last_of_each(*LONG, "training.epochs=80")  # the second time comes while it trains
    submitted = submit(slurm, "seed=1", *longer, "wandb.mode=offline")
    wait_for_text(Path("sweep/0/log.txt"), "step 250/")
    slurm.sbatch("sleep 2", "--partition=high", "--exclusive")
    wait_for_text(Path("sweep/0/log.txt"), "SIGUSR2: stopping after this step")
    with slurm.without_user_signals():
        wait_for_text(Path("sweep/0/log.txt"), "Resuming after step")
        slurm.sbatch("sleep 2", "--partition=high", "--exclusive")
        said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 0, said
    log = Path("sweep/0/log.txt").read_text()
    assert "SIGUSR2: stopping after this step" in log
    assert "SIGTERM: stopping after this step" in log
    assert log.count("Resuming after step") == 2
    assert last_weights(0) == unbroken(tmp_path, "seed=1", *longer)
    starts = [path.stem for path in Path("local_logging").rglob("*.wandb")]
    assert len(starts) == 3
    assert len(set(starts)) == 1  # of W&B, for all of the run


def test_a_job_at_its_time_limit_is_queued_again_as_often_as_it_may(slurm: Slurm) -> None:
    limit = ("hydra.launcher.timeout_min=9", "hydra.launcher.signal_delay_s=50")
    once = "hydra.launcher.max_num_timeout=1"
    submitted = submit(slurm, "seed=1", *LONG, "training.epochs=400", *limit, once)
    wait_for_text(Path("sweep/0/log.txt"), "step 250/")
    array = array_of(slurm)
    script = Path(f"sweep/.submitit/{array}/{array}_submission.sh").read_text()
    assert "#SBATCH --signal=USR2@50\n" in script
    assert "#SBATCH --time=9\n" in script
    slurm.signal(array, "USR2")  # rather than wait: Slurm sends it up to a minute too early
    wait_for_text(Path("sweep/0/log.txt"), "Resuming after step")
    log = Path("sweep/0/log.txt").read_text()
    assert "SIGUSR2: stopping after this step" in log
    assert "A checkpoint was saved. This job will be requeued." in log
    slurm.signal(array, "USR2")
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 1
    why = "it has been requeued as often as hydra.launcher.max_num_timeout=1 allows"
    assert said.count(why) == 1
    (command,) = [line for line in said.splitlines() if line.startswith("To resume: ")]
    slurm.wait_for(array, "FAILED")
    of_job = Path(f"sweep/.submitit/{array}/{array}_0_log.err").read_text()
    for text in (of_job, Path("sweep/0/log.txt").read_text()):
        assert f"{why}. {command}" in text
        assert "Traceback" not in text
    assert f"{why}. {command}" in results(slurm, "sweep")


def test_a_job_that_is_stopped_before_it_trains_fails_in_a_line(
    slurm: Slurm, tmp_path: Path
) -> None:
    script = tmp_path / "main.py"
    stop = "if 'SLURM_JOB_ID' in os.environ:\n            os.kill(os.getpid(), 12)\n        "
    build = "return nn.Sequential"
    assert IN_ONE_FILE.count(build) == 1
    script.write_text("import os\n" + IN_ONE_FILE.replace(build, stop + build))
    options = ("+dm=cmnist", "+model=one_layer", "gpu=-1", "hydra/launcher=runwright_slurm")
    limit = ("hydra.launcher.timeout_min=9", "hydra.launcher.max_num_timeout=0")
    said, _ = submit(slurm, *options, *limit, main=script).communicate(timeout=300)
    assert "hydra.launcher.max_num_timeout=0 allows" in said
    assert "Traceback" not in said
    (log,) = Path("sweep/.submitit").glob("*/*_0_log.err")
    assert "Traceback" not in log.read_text()
    slurm.wait_for(log.parent.name, "FAILED")


def test_a_killed_job_is_reported_and_the_others_go_on(slurm: Slurm) -> None:
    submitted = submit(slurm, "seed=1,2", *LONG)
    wait_for_text(Path("sweep/0/log.txt"), "step 250/")
    wait_for_text(Path("sweep/1/log.txt"), "step 250/")
    environment = json.loads(Path("sweep/0/environment.json").read_text())
    os.kill(environment["process"], signal.SIGKILL)
    killed = time.monotonic()
    assert submitted.stdout is not None
    line = next(line for line in submitted.stdout if "ended without a result" in line)
    assert time.monotonic() - killed < 60
    assert "Job #0 (" in line
    assert "FAILED" in line
    assert Path(line.split("Its log: ")[1].strip()).exists()
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 1
    assert json.loads(Path("sweep/1/result.json").read_text())["status"] == "finished"
    assert "Traceback" not in said
    assert "1 of 2 jobs finished.\n  #0: it ended without a result: FAILED" in said
    assert "\nTo resume: python " in said
    assert said.count("ended without a result") == 1


def test_a_requeued_job_goes_on_and_a_cancelled_one_is_reported(slurm: Slurm) -> None:
    submitted = submit(slurm, "seed=1", *LONG)
    wait_for_text(Path("sweep/0/log.txt"), "step 250/")
    slurm.requeue(array_of(slurm))  # by an administrator
    wait_for_text(Path("sweep/0/log.txt"), "Resuming after step")
    slurm.scancel(array_of(slurm))
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 1
    assert "CANCELLED" in said
    assert "A checkpoint was saved." in Path("sweep/0/log.txt").read_text()
    assert json.loads(Path("sweep/0/result.json").read_text())["status"] == "interrupted"


def test_a_lost_node_takes_no_run_with_it_but_one_that_may_not_be_requeued(
    slurm: Slurm, tmp_path: Path
) -> None:
    saved = (*LONG, "training.epochs=20", "checkpoint.save_every=250")
    goes_on = submit(slurm, "seed=1", *saved)
    once = ("hydra.sweep.dir=once", "+hydra.launcher.additional_parameters.no_requeue=true")
    ends = submit(slurm, "seed=2", *saved, *once)
    for log in ("sweep/0/log.txt", "once/0/log.txt"):
        wait_for_text(Path(log), "step 500/")
    with slurm.without_node():
        said, _ = ends.communicate(timeout=300)
        assert ends.returncode == 1
        assert "Job #0 (" in said
        assert "it ended without a result: NODE_FAIL. Its log: " in said
        assert goes_on.poll() is None
    said, _ = goes_on.communicate(timeout=300)
    assert goes_on.returncode == 0, said
    assert "Resuming after step" in Path("sweep/0/log.txt").read_text()
    assert last_weights(0) == unbroken(tmp_path, "seed=1", *saved)


def test_jobs_that_wait_are_known_run_what_was_submitted_and_are_not_run_twice(
    slurm: Slurm, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(REPOSITORY / "conf", project / "conf")
    shutil.copy(REPOSITORY / "main.py", project)
    for command in ("init --quiet", "add .", "commit --quiet --message=first"):
        author = ("-c", "user.name=A", "-c", "user.email=a@b.org")
        subprocess.run(["git", *author, *command.split()], cwd=project, check=True)
    held = "+hydra.launcher.additional_parameters.hold=true"
    detached = "hydra.launcher.detached=true"
    submitted = submit(
        slurm, "seed=1,2", *SMALL, held, detached, "+experiment=good", main=project / "main.py"
    )
    submitted.communicate(timeout=300)
    assert submitted.returncode == 2  # a typo is found before anything is submitted
    assert not slurm.squeue()
    three = ("seed=1,2,3", *SMALL, held, detached)
    submitted = submit(slurm, *three, main=project / "main.py")
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 0, said
    (shown,) = [line for line in said.splitlines() if "python -m runwright results" in line]
    assert "3 of 3 jobs have not started a run (3 waiting)." in results(slurm, shown.split()[-1])
    array = array_of(slurm)
    primary = project / "conf" / "config.yaml"
    before = primary.read_text()
    primary.write_text(before + "\ntraining:\n  epochs: 50\nno_such_key: 1\n")
    slurm.scancel(f"{array}_2")
    subprocess.run(["scontrol", "release", array], env={**os.environ, **slurm.env}, check=True)
    for number in (0, 1):
        slurm.wait_for(f"{array}_{number}", "COMPLETED", timeout=300)
    for number in (0, 1):
        assert "epochs: 2\n" in Path(f"sweep/{number}/config.yaml").read_text()
        assert json.loads(Path(f"sweep/{number}/result.json").read_text())["status"] == "finished"
        log = Path(f"sweep/.submitit/{array}_{number}/{array}_{number}_0_log.err").read_text()
        assert "The code has changed since this job was submitted: " in log
    record = json.loads(Path(f"sweep/submissions/{array}.json").read_text())
    assert [job["job"] for job in record["jobs"]] == [f"{array}_{number}" for number in range(3)]
    shown = results(slurm, "sweep")
    assert "2 finished" in shown
    assert f"1 of 3 jobs have not started a run (1 cancelled).\n  #2  {array}_2  cancelled" in shown
    assert "The code was changed while 2 of 3 jobs waited in the queue:" in shown
    primary.write_text(before)
    again = ("seed=3,2,1", *three[1:])
    said, _ = submit(slurm, *again, main=project / "main.py").communicate(timeout=300)
    assert "Not submitted because their runs have finished: #1, #2." in said
    assert "Submitted 1 jobs as array " in said


def test_a_grid_that_grows_while_its_jobs_wait_leaves_them_their_directories(slurm: Slurm) -> None:
    options = (*SMALL, "+hydra.launcher.additional_parameters.hold=true")
    grown = ("seed=1,2", "seed=3,2,1", "seed=3,1,2")
    only_in_the_job = "wandb.name=${hydra:job.num}"
    held: list[dict[str, str]] = []
    printed: list[str] = []
    for seeds, *more in ((grown[0],), (grown[1],), (grown[2], only_in_the_job)):
        submitted = submit(slurm, seeds, *more, *options, "hydra.launcher.detached=true")
        said, _ = submitted.communicate(timeout=300)
        assert submitted.returncode == 0, said
        newest = max(Path("sweep/submissions").iterdir(), key=lambda path: int(path.stem))
        jobs = json.loads(newest.read_text())["jobs"]
        held.append({job["run_dir"]: job["overrides"][0] for job in jobs})
        printed.append(said)
    array = min(int(path.stem) for path in Path("sweep/submissions").iterdir())
    assert held[0] == {"0": "seed=1", "1": "seed=2"}
    assert held[1] == {"2": "seed=3"}
    assert (
        "Not submitted because they are in the queue, as they were submitted before: "
        f"#1 ({array}_1), #2 ({array}_0). To submit them anew, cancel them first: "
        f"scancel {array}_0 {array}_1\n"
    ) in printed[1]
    assert "Submitted 1 jobs as array " in printed[1]
    assert held[2] == {"0": "seed=3", "1": "seed=1", "2": "seed=2"}  # another command


def test_the_tasks_of_a_job_train_one_model_and_make_way_together(
    slurm: Slurm, tmp_path: Path
) -> None:
    # Each takes 0.86 GB, and what a task starts counts as much again until it is another program.
    tasks = ("hydra.launcher.tasks_per_node=2", "hydra.launcher.mem_gb=4")
    environment = Path("sweep/0/environment.json")
    submitted = submit(slurm, "seed=1", *LONG, "training.epochs=8", *tasks)
    wait_for_text(Path("sweep/0/log.txt"), "step 250/")
    first, second = json.loads(environment.read_text())["process"], second_task(slurm)
    os.kill(first, signal.SIGUSR2)  # goes before what the other is told
    os.kill(second, signal.SIGTERM)
    wait_for_text(Path("sweep/0/log.txt"), "Resuming after step")
    slurm.sbatch("sleep 1", "--partition=high", "--exclusive")
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 0, said
    log = Path("sweep/0/log.txt").read_text()
    assert log.count("Resuming after step") == 2
    assert log.count("Model architecture") == 3  # once a start, not once a task
    run_dir = tmp_path / "unbroken"
    options = ("seed=1", *LONG, "training.epochs=8", f"hydra.run.dir={run_dir}")
    finish(start_copies(options=options))
    assert last_weights(0) == (run_dir / "checkpoints" / "last.safetensors").read_bytes()


def test_a_task_that_dies_before_the_others_meet_it_ends_the_job(
    slurm: Slurm, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/bash\n[ "$SLURM_PROCID" = 0 ] || kill -9 $$\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    tasks = ("hydra.launcher.tasks_per_node=2", f"hydra.launcher.python={python}")
    said, _ = submit(slurm, "seed=1", *SMALL, *tasks).communicate(timeout=300)
    line = next(line for line in said.splitlines() if "ended without a result" in line)
    assert "FAILED" in line
    assert "task 1: Killed" in Path(line.split("Its log: ")[1]).read_text()


def test_a_factory_in_the_script_itself_reaches_the_job(slurm: Slurm, tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(IN_ONE_FILE)
    options = ("+dm=cmnist", "+model=one_layer", "model.bias=true", "gpu=-1")
    launcher = ("hydra/launcher=runwright_slurm", "pictures=false", "training.max_steps=3")
    submitted = submit(slurm, *options, *launcher, main=script)
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 0, said
    assert "- model: one_layer" in Path("sweep/0/config.yaml").read_text()


def test_a_job_that_takes_too_much_memory_is_reported(slurm: Slurm) -> None:
    submitted = submit(slurm, "seed=1", *LONG, "training.epochs=4000", "hydra.launcher.mem_gb=0.2")
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 1
    assert "Job #0 (" in said
    assert "because it ran out of memory, see hydra.launcher.mem_gb" in said
    assert "Its log: " in said


def test_jobs_that_cannot_be_built_are_not_submitted(slurm: Slurm) -> None:
    submitted = submit(slurm, "seed=1,2", "model=cnn", "model.kernel_size=31")
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 2
    assert "leave no pixels" in said
    assert "Submitted" not in said


def test_mistakes_of_jobs_are_found_before_any_is_submitted(slurm: Slurm) -> None:
    submitted = submit(slurm, *SMALL, "opt.lr=0.1,-1,-2")
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 2
    for value in (-1.0, -2.0):
        assert said.count(f"opt.lr must be > 0, got {value}") == 1
    assert "Submitted" not in said
    assert not slurm.squeue()


def test_a_search_cannot_be_submitted_and_left(slurm: Slurm) -> None:
    search = ("hydra/sweeper=optuna", "opt.weight_decay=interval(0,1e-3)")
    submitted = submit(slurm, *search, *SMALL, "hydra.launcher.detached=true")
    said, _ = submitted.communicate(timeout=300)
    assert "hydra.launcher.detached=true: this sweeper has to wait" in said
    assert submitted.returncode == 2
    assert not slurm.squeue()


def test_what_slurm_refuses_is_the_users_mistake(slurm: Slurm) -> None:
    submitted = submit(slurm, "seed=1", *SMALL, "hydra.launcher.partition=nowhere")
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 2
    assert "Slurm refuses these options, so no job was submitted." in said
    assert said.count("invalid partition specified: nowhere") == 1
    assert "Traceback" not in said


def test_a_slurm_that_does_not_answer_has_refused_nothing(slurm: Slurm, tmp_path: Path) -> None:
    conf = re.sub("SlurmctldPort=.*", "SlurmctldPort=9", Path(slurm.env["SLURM_CONF"]).read_text())
    (tmp_path / "slurm.conf").write_text(conf)
    silent = attrs.evolve(slurm, env={"SLURM_CONF": str(tmp_path / "slurm.conf")})
    submitted = submit(silent, "seed=1", *SMALL)
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 2
    assert "Slurm cannot be reached, so no job was submitted." in said


def test_after_ctrl_c_the_jobs_go_on(slurm: Slurm) -> None:
    held = "+hydra.launcher.additional_parameters.hold=true"
    submitted = submit(slurm, "seed=1", *SMALL, held)
    slurm.servers.wait_until(lambda: bool(slurm.squeue()), "the job waits", timeout=120)
    time.sleep(1)
    submitted.send_signal(signal.SIGINT)
    said, _ = submitted.communicate(timeout=300)
    assert submitted.returncode == 130
    assert "The jobs keep running. To see their progress: python -m runwright results" in said
    array = array_of(slurm)
    assert f"To cancel them: scancel {array}\n" in said
    assert "To resume" not in said
    again = submit(slurm, "seed=1", *SMALL, held)
    assert again.stdout is not None
    left_out = f"in the queue, as they were submitted before: #0 ({array})"
    assert any(left_out in line for line in again.stdout)
    subprocess.run(["scontrol", "release", array], env={**os.environ, **slurm.env}, check=True)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert "1 of 1 jobs finished" in said
    assert len(list(Path("sweep/submissions").iterdir())) == 1
