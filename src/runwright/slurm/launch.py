"""Submitting the jobs of a multirun to Slurm as one array."""

import logging
import re
import shlex
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cloudpickle
from hydra.core.utils import JobReturn, JobRuntime, filter_overrides
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from runwright import preflight
from runwright.cli.basic_launcher import is_basic_sweeper
from runwright.cli.commands import sweep_command
from runwright.compose.collect import without_hydra
from runwright.compose.loader import StrictConfigLoader, to_config
from runwright.compose.overrides import swept_keys
from runwright.errors import JobsGoOn, RunError, UserError
from runwright.rundir.job_directories import JobDirectories
from runwright.rundir.provenance import code_version
from runwright.slurm import _submitit, queue, submissions
from runwright.slurm.batch_job import BatchJob, Outcome, fill_cache
from runwright.slurm.finished import finished_value, run_dir_of
from runwright.slurm.launcher_options import SlurmCfg
from runwright.slurm.submissions import SubmittedJob
from runwright.slurm.watch import Watch

if TYPE_CHECKING:
    import submitit

log = logging.getLogger(__name__)

# Options that have a name of their own in submitit; the others begin with "slurm_" there.
_OF_SUBMITIT: Final = frozenset(
    {
        *("timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node", "name"),
        *("tasks_per_node", "nodes", "stderr_to_stdout"),
    }
)
_OURS: Final = frozenset(
    {"_target_", "submitit_folder", "python", "max_num_timeout", "detached", "poll_every"}
)
# What sbatch says when nobody has looked at the jobs yet.
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

    A job that fails or is killed is reported at once, and the others go on. Of a multirun without a
    search, jobs whose runs have finished in this directory are left out.

    Raises:
        UserError: there is no Slurm here, it takes no jobs, or some cannot be built: none runs.
        RunError: some jobs of a multirun without a search have not finished.
    """
    is_search = not is_basic_sweeper(config)
    _refuse_what_cannot_be(options, is_search=is_search)
    sweep_dir = Path(str(config.hydra.sweep.dir)).resolve()
    sweep_dir.mkdir(parents=True, exist_ok=True)
    loader = hydra_context.config_loader
    assert isinstance(loader, StrictConfigLoader)
    # The same for all jobs, and larger than a job: written out once.
    shared = cloudpickle.dumps((hydra_context, task_function))
    code = code_version()
    filled = fill_cache(config.hydra)  # which every job gets
    outcomes: dict[int, Outcome] = {}
    jobs: dict[int, BatchJob] = {}
    run_dirs: dict[int, Path | None] = {}
    earlier = JobDirectories(sweep_dir)
    swept = frozenset[str]() if is_search else swept_keys(config)
    for number, overrides in enumerate(job_overrides, start=first):
        log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
        composed = loader.load_sweep_config(config, overrides)
        with open_dict(composed):
            composed.hydra.sweep.dir = str(sweep_dir)
            composed.hydra.job.num = number
            composed.hydra.job.id = f"job_id_for_{number}"
        fill_cache(composed, filled)
        if not is_search:
            _give_directory(composed, earlier, swept)
        run_dirs[number] = run_dir = run_dir_of(composed)
        if not is_search and run_dir is not None:
            value = finished_value(run_dir, composed)
            if value is not None:
                outcomes[number] = Outcome.of_value(value)
                continue
        jobs[number] = BatchJob(
            composed=cloudpickle.dumps(composed),
            shared=shared,
            name=JobRuntime.instance().get("name"),
            argv=[str(Path(sys.argv[0]).resolve()), *sys.argv[1:]],
            code=code,
            max_num_timeout=options.max_num_timeout,
        )
    if outcomes:
        log.info("Not submitted, as their runs have finished: %s.", _listed(outcomes))
    if not jobs:
        log.info("Nothing is left to submit. To see how they did: %s", _results(sweep_dir))
        return [outcomes[number].returned for number in sorted(outcomes)]
    preflight.check_jobs(loader.pending)
    submitted = dict(zip(jobs, _submit(options, list(jobs.values())), strict=True))
    arrays = {queue.array_of(job.job_id) for job in submitted.values()}
    _record(
        sweep_dir,
        [
            SubmittedJob(
                number=number,
                job=job.job_id,
                overrides=job_overrides[number - first],
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
        ", ".join(sorted(arrays)),
        next(iter(submitted.values())).paths.folder,
    )
    if options.detached:
        log.info("To see how they do: %s", _results(sweep_dir))
        outcomes |= {number: Outcome.of_value(None) for number in submitted}
    else:
        try:
            outcomes |= Watch(submitted, options.poll_every).until_all_ended()
        except KeyboardInterrupt as end:
            log.info(
                "The jobs go on. To see how they do: %s\nTo end them: %s",
                _results(sweep_dir),
                queue.cancel_command(arrays),
            )
            raise JobsGoOn from end
        if not is_search:
            _sum_up(outcomes, sweep_dir)
    return [outcomes[number].returned for number in sorted(outcomes)]


def _refuse_what_cannot_be(options: SlurmCfg, *, is_search: bool) -> None:
    if options.detached and is_search:
        raise UserError(
            "hydra.launcher.detached=true: this sweeper has to wait for what its trials come to. "
            "Leave it out. When the sweep is interrupted its jobs go on, and the same command with "
            "the same hydra.sweep.dir continues it (with hydra/sweeper=runwright)."
        )
    if shutil.which("sbatch") is None:
        raise UserError(
            "hydra/launcher: there is no Slurm on this machine (no command `sbatch`). Submit from "
            "a machine of the cluster, or leave out hydra/launcher to run the jobs here."
        )


def _give_directory(composed: DictConfig, known: JobDirectories, swept: Collection[str]) -> None:
    """Let a job run where an earlier command ran it, if that is not the directory of its number."""
    own, number = run_dir_of(composed), composed.hydra.job.num
    if known and own == known.folder / str(number):
        place = known.place(number, to_config(without_hydra(composed)), swept)
        if place != own:
            composed.hydra.sweep.subdir = place.name
            log.info("Job #%d of this command has the directory %s.", number, place)


def _submit(options: SlurmCfg, jobs: Sequence[BatchJob]) -> "list[submitit.Job[Outcome]]":
    chosen: dict[str, Any] = {
        name if name in _OF_SUBMITIT else f"slurm_{name}": value
        for name, value in vars(options).items()
        if name not in _OURS and value is not None
    }
    # A task that dies ends the job, instead of leaving the others to wait for it.
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
    except OSError as error:  # the jobs are under way, and must be looked after all the same
        log.warning("What was submitted could not be recorded in %s: %s", sweep_dir, error)


def _sum_up(outcomes: Mapping[int, Outcome], sweep_dir: Path) -> None:
    """Say how many jobs of an array have finished, and what is the matter with the others.

    Raises:
        RunError: some have not.
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
    if len(outcomes) > 1:  # of one, it has just been said
        lines += [f"  {_listed(numbers)}: {why}" for why, numbers in failed.items()]
    raise RunError("\n".join([*lines, f"To go on: {sweep_command(sweep_dir)}"]))


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(f"#{number}" for number in numbers)


def _results(sweep_dir: Path) -> str:
    return f"python -m runwright results {shlex.quote(str(sweep_dir))}"
