"""Submitting the jobs of a multirun to Slurm as one array."""

import contextlib
import logging
import os
import pickle
import re
import shlex
import shutil
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cloudpickle
from hydra.core.utils import JobReturn, JobRuntime, filter_overrides
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from runwright.checks import preflight
from runwright.cli.basic_launcher import is_basic_sweeper
from runwright.cli.commands_to_type import sweep_command
from runwright.compose.loader import StrictConfigLoader
from runwright.errors import JobsGoOn, RunError, UserError
from runwright.rundir.overwritten import mark_jobs, unmark
from runwright.rundir.provenance import code_version
from runwright.slurm import _submitit, queue, submissions
from runwright.slurm.batch_job import BatchJob, Outcome, fill_cache
from runwright.slurm.earlier_jobs import EarlierJobs
from runwright.slurm.finished import run_dir_of
from runwright.slurm.launcher_options import SlurmCfg
from runwright.slurm.submissions import SubmittedJob
from runwright.slurm.watch import Watch

if TYPE_CHECKING:
    import submitit

log = logging.getLogger(__name__)

# Options that have their own name in submitit; the others begin with "slurm_" there.
_OF_SUBMITIT: Final = frozenset(
    {
        *("timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node", "name"),
        *("tasks_per_node", "nodes", "stderr_to_stdout"),
    }
)
_OURS: Final = frozenset(
    {"_target_", "submitit_folder", "python", "max_num_timeout", "detached", "poll_every"}
)
# What sbatch says when it never got as far as looking at the jobs.
_OUT_OF_REACH: Final = re.compile(
    r"contact slurm controller|timed out|[Cc]onnection (refused|failure|reset)|connect failure"
    r"|[Uu]nable to (resolve|establish)|munge|configuration (file|source)|Zero Bytes"
)


def launch(
    options: SlurmCfg,
    job_overrides: Sequence[list[str]],
    first: int,
    *,
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
) -> list[JobReturn]:
    """Submit the jobs as one array and, unless detached, wait for all of them.

    A job that fails or is killed is reported at once, and the others continue. In a multirun
    without a search, jobs whose runs have finished in this directory are left out.

    Raises:
        UserError: there is no Slurm here, it accepts no jobs, or some cannot be built: none runs.
        RunError: some jobs of a multirun without a search have not finished.
    """
    is_search = not is_basic_sweeper(config)
    _refuse_what_cannot_be(options, is_search=is_search)
    sweep_dir = Path(str(config.hydra.sweep.dir)).resolve()
    sweep_dir.mkdir(parents=True, exist_ok=True)
    loader = hydra_context.config_loader
    assert isinstance(loader, StrictConfigLoader)
    # The same for all jobs, and larger than a job: serialised once.
    shared = cloudpickle.dumps((hydra_context, task_function))
    name = JobRuntime.instance().get("name")
    argv = [str(Path(sys.argv[0]).resolve()), *sys.argv[1:]]
    code = code_version()
    filled = fill_cache(config.hydra)  # which every job gets
    outcomes: dict[int, Outcome] = {}
    queued: dict[int, SubmittedJob] = {}
    jobs: dict[int, BatchJob] = {}
    run_dirs: dict[int, Path | None] = {}
    earlier = None if is_search else EarlierJobs.of(sweep_dir, config)
    for number, overrides in enumerate(job_overrides, start=first):
        composed = loader.load_sweep_config(config, overrides)
        _number(composed, number, sweep_dir)
        fill_cache(composed, filled)
        job_config, known = loader.config_of(composed), None
        if earlier is not None and job_config is not None:
            known = earlier.find(composed, job_config, overrides)
        if isinstance(known, Outcome):
            outcomes[number] = known
        elif known is not None:
            queued[number] = known
        else:
            run_dirs[number] = run_dir_of(composed)
            jobs[number] = BatchJob(
                composed=_written_out(composed),
                shared=shared,
                name=name,
                argv=argv,
                code=code,
                max_num_timeout=options.max_num_timeout,
            )
    for number, overrides in enumerate(job_overrides, start=first):
        log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
    _log_left_out(outcomes, queued)
    if not jobs and not queued:
        log.info("Nothing is left to submit. To see how they did: %s", _results(sweep_dir))
        return [outcomes[number].returned for number in sorted(outcomes)]
    submitted = {number: _submitted_before(options, job) for number, job in queued.items()}
    if jobs:
        preflight.check_jobs(loader.pending)
        with _in_place_of_earlier(sweep_dir, job_overrides):
            new = dict(zip(jobs, _submit(options, list(jobs.values())), strict=True))
        _note_submitted(new, sweep_dir, run_dirs, code, dict(enumerate(job_overrides, first)))
        submitted |= new
    if options.detached:
        log.info("To see their progress: %s", _results(sweep_dir))
        outcomes |= {number: Outcome.of_value(None) for number in submitted}
    else:
        outcomes |= _watched(submitted, options.poll_every, sweep_dir)
        if not is_search:
            _sum_up(outcomes, sweep_dir)
    return [outcomes[number].returned for number in sorted(outcomes)]


def _log_left_out(finished: Iterable[int], queued: Mapping[int, SubmittedJob]) -> None:
    if finished:
        log.info("Not submitted because their runs have finished: %s.", _listed(finished))
    if queued:
        log.info(
            "Not submitted because they are in the queue, as they were submitted before: %s. To "
            "submit them anew, cancel them first: %s",
            ", ".join(f"#{number} ({job.job})" for number, job in queued.items()),
            queue.cancel_command([job.job for job in queued.values()]),
        )


def _submitted_before(options: SlurmCfg, job: SubmittedJob) -> "submitit.Job[Outcome]":
    """A job of an earlier command, to be watched."""
    import submitit

    folder = options.submitit_folder if job.log is None else job.log.parent
    tasks = range((options.nodes or 1) * (options.tasks_per_node or 1))
    return submitit.SlurmJob(folder=folder, job_id=job.job, tasks=list(tasks))


def _note_submitted(
    submitted: "Mapping[int, submitit.Job[Outcome]]",
    sweep_dir: Path,
    run_dirs: Mapping[int, Path | None],
    code: str | None,
    job_overrides: Mapping[int, list[str]],
) -> None:
    """Record what was submitted, and say so."""
    _record(
        sweep_dir,
        [
            SubmittedJob(
                number=number,
                job=job.job_id,
                overrides=job_overrides[number],
                run_dir=run_dirs[number],
                code=code,
                log=job.task(0).paths.stderr,
            )
            for number, job in submitted.items()
        ],
    )
    log.info(
        "Submitted %d jobs as array %s; logs are in %s.",
        len(submitted),
        ", ".join(sorted(_arrays(submitted))),
        os.path.commonpath([job.paths.folder for job in submitted.values()]),
    )


def _refuse_what_cannot_be(options: SlurmCfg, *, is_search: bool) -> None:
    if options.detached and is_search:
        raise UserError(
            "hydra.launcher.detached=true: this sweeper has to wait for the results of its trials. "
            "Leave it out. If the sweep is interrupted its jobs keep running, and the same command "
            "with the same hydra.sweep.dir continues it (with hydra/sweeper=runwright)."
        )
    if shutil.which("sbatch") is None:
        raise UserError(
            "hydra/launcher: there is no Slurm on this machine (no command `sbatch`). Submit from "
            "a machine of the cluster, or leave out hydra/launcher to run the jobs here."
        )


def _number(composed: DictConfig, number: int, sweep_dir: Path) -> None:
    with open_dict(composed):
        composed.hydra.sweep.dir = str(sweep_dir)
        composed.hydra.job.num = number
        composed.hydra.job.id = f"job_id_for_{number}"


def _written_out(composed: DictConfig) -> bytes:
    """A configuration as another process reads it.

    cloudpickle sends the classes of the script itself along, and takes twice the time.
    """
    with contextlib.suppress(pickle.PicklingError, AttributeError, TypeError):
        if b"__main__" not in (written := pickle.dumps(composed)):
            return written
    return cloudpickle.dumps(composed)


@contextlib.contextmanager
def _in_place_of_earlier(sweep_dir: Path, job_overrides: Iterable[list[str]]) -> Generator[None]:
    """Mark the runs of a multirun that is started over, unless the jobs are not accepted."""
    starts_over = submissions.start_over(job_overrides)
    # Before they are submitted: a job that starts at once removes the mark.
    marked = mark_jobs(sweep_dir) if starts_over else []
    try:
        yield
    except UserError:
        for run_dir in marked:
            unmark(run_dir)
        raise


def _submit(options: SlurmCfg, jobs: Sequence[BatchJob]) -> "list[submitit.Job[Outcome]]":
    chosen: dict[str, Any] = {
        name if name in _OF_SUBMITIT else f"slurm_{name}": value
        for name, value in vars(options).items()
        if name not in _OURS and value is not None
    }
    # A task that dies ends the job, instead of leaving the others waiting for it.
    chosen["slurm_srun_args"] = ["--kill-on-bad-exit=1", *(options.srun_args or [])]
    try:
        return _submitit.submit_together(
            jobs,
            folder=options.submitit_folder,
            parameters=chosen,
            slurm_max_num_timeout=options.max_num_timeout,
            slurm_python=options.python,
        )
    except _submitit.SubmissionError as error:
        if _OUT_OF_REACH.search(str(error)):
            raise UserError(
                "hydra/launcher: Slurm cannot be reached, so no job was submitted. `scontrol ping` "
                f"says when it answers.\n{error}"
            ) from error
        raise UserError(
            f"hydra.launcher: Slurm refuses these options, so no job was submitted.\n{error}"
        ) from error


def _record(sweep_dir: Path, jobs: Sequence[SubmittedJob]) -> None:
    try:
        submissions.record(sweep_dir, jobs)
    except OSError as error:  # the jobs are running, and must be watched all the same
        log.warning("What was submitted could not be recorded in %s: %s", sweep_dir, error)


def _watched(
    submitted: "Mapping[int, submitit.Job[Outcome]]", poll_every: float, sweep_dir: Path
) -> dict[int, Outcome]:
    """What the jobs came to, when the last has ended.

    Raises:
        JobsGoOn: it was interrupted before.
    """
    try:
        return Watch(submitted, poll_every).until_all_ended()
    except KeyboardInterrupt as end:
        log.info(
            "The jobs keep running. To see their progress: %s\nTo cancel them: %s",
            _results(sweep_dir),
            queue.cancel_command(_arrays(submitted)),
        )
        raise JobsGoOn from end


def _arrays(submitted: "Mapping[int, submitit.Job[Outcome]]") -> set[str]:
    return {queue.array_of(job.job_id) for job in submitted.values()}


def _sum_up(outcomes: Mapping[int, Outcome], sweep_dir: Path) -> None:
    """Report how many jobs of an array have finished, and what happened to the others.

    Raises:
        RunError: some have not finished.
    """
    failed: dict[str, list[int]] = {}
    for number in sorted(outcomes):
        if (error := outcomes[number].error) is not None:
            failed.setdefault(error.partition("\n")[0], []).append(number)
    count = len(outcomes) - sum(map(len, failed.values()))
    if not failed:
        log.info("%d of %d jobs finished: %s", count, count, _results(sweep_dir))
        return
    lines = [f"{count} of {len(outcomes)} jobs finished."]
    if len(outcomes) > 1:  # for a single job, this has just been reported
        lines += [f"  {_listed(numbers)}: {why}" for why, numbers in failed.items()]
    raise RunError("\n".join([*lines, f"To resume: {sweep_command(sweep_dir)}"]))


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(f"#{number}" for number in numbers)


def _results(sweep_dir: Path) -> str:
    return f"python -m runwright results {shlex.quote(str(sweep_dir))}"
