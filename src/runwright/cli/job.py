"""One job of a command line: what Hydra's launchers call with a composed configuration."""

import contextlib
import functools
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.conf import HydraConf
    from omegaconf import DictConfig

    from runwright.compose.pending import PendingJobs
    from runwright.config import Config
    from runwright.rundir.job_directories import JobDirectories


class JobsRefusedError(BaseException):
    """Jobs of a multirun cannot succeed. Not an Exception: Hydra would run the next job."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = problems
        super().__init__(problems)


class JobsStoppedError(BaseException):
    """A job of a multirun failed, and those after it are not wanted then.

    Attributes:
        error: what went wrong in the job.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(error)


def job(composed: "DictConfig", is_preempted: Callable[[], bool] = lambda: False) -> float:
    """Run one composed job; what Hydra's launchers call, here or on another machine.

    Args:
        composed: the configuration, Hydra's part included.
        is_preempted: whether a job that got SIGTERM will run again; its launcher knows.

    Raises:
        JobsRefusedError: this is the first job of a multirun in this process, and some of those
            that wait to be launched are bound to fail.
        JobsStoppedError: it failed, and `hydra.launcher.stop_at_failure` is true.
    """
    gc.enable()
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from runwright.caller import Caller, is_restarted
    from runwright.checks import preflight
    from runwright.cli.commands_to_type import directory_option, resume_command
    from runwright.compose.loader import StrictConfigLoader, to_config
    from runwright.errors import ConfigError, UserError, free_variables
    from runwright.run import run
    from runwright.rundir.layout import among_choices

    hydra = HydraConfig.get()
    run_dir = Path(hydra.runtime.output_dir)
    if told := among_choices(run_dir, source_folders(hydra)):
        remove_if_empty(run_dir)
        raise UserError(f"{directory_option()}: {told}")
    config: Config | None = None
    if GlobalHydra.instance().is_initialized():  # not in a process of a launcher's own
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, StrictConfigLoader)
        if hydra.mode is RunMode.MULTIRUN:
            try:
                preflight.check_jobs(loader.pending)
            except ConfigError as error:
                remove_if_empty(run_dir)
                raise JobsRefusedError(error.problems) from None
        config = loader.take_config(hydra.overrides.task, composed)
        if hydra.mode is RunMode.RUN:
            _refuse_early(config, run_dir, hydra.overrides.task)
        elif _is_main_process():
            if config.overwrite and not is_restarted():
                _mark_earlier(Path(hydra.sweep.dir), loader.pending.began)
            run_dir = _place(run_dir, hydra.job.num, config, loader.pending)
    try:
        return run(
            to_config(composed, hydra.runtime.choices) if config is None else config,
            run_dir,
            Caller(
                resume_command=resume_command,
                directory_option=directory_option(),
                is_preempted=is_preempted,
            ),
        )
    except Exception as error:
        if (
            hydra.mode is RunMode.MULTIRUN
        ):  # the others continue; Hydra reports the first at the end
            text = _text(error, run_dir)
            print(f"Job #{hydra.job.num} failed: {text}", file=sys.stderr)
            free_variables(error)
            if hydra.launcher.get("stop_at_failure"):
                raise JobsStoppedError(error) from None
        raise
    finally:
        if not _is_main_process():  # only the main process writes, to its own directory
            remove_if_empty(run_dir)


def _refuse_early(config: "Config", run_dir: Path, overrides: Sequence[str]) -> None:
    """Tell what can be told of a run before torch is imported.

    Raises:
        ConfigError: with everything that is wrong, if more is not to be looked for by building.
    """
    from runwright.checks import light_checks
    from runwright.cli.needs_building import needs_building
    from runwright.errors import ConfigError
    from runwright.run import begins

    if not needs_building(vars(config), overrides) and (
        found := light_checks.problems(config, begins=begins(config, run_dir))
    ):
        raise ConfigError(found)


def source_folders(hydra: "DictConfig | HydraConf") -> list[Path]:
    """The folders where the configurations of a composition were looked for."""
    return [
        Path(str(source.path)) for source in hydra.runtime.config_sources if source.schema == "file"
    ]


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


@functools.cache
def _mark_earlier(folder: Path, began: float) -> None:
    """Mark the runs of the multirun that is started over, before the first job of this process."""
    from runwright.rundir.overwritten import mark_jobs

    mark_jobs(folder, before=began)


@functools.cache
def _directories(folder: Path) -> "JobDirectories":
    """The earlier jobs in the directory of a multirun, read by the first job of this process."""
    from runwright.rundir.job_directories import JobDirectories

    return JobDirectories(folder)


@functools.cache
def _swept(pending: "PendingJobs") -> frozenset[str]:
    """The keys that the multirun varies, which are the same for all of its jobs."""
    from runwright.compose.overrides import swept_keys

    assert pending.composed is not None
    return swept_keys(pending.composed)


def _place(own: Path, number: int, config: "Config", pending: "PendingJobs") -> Path:
    """Where a job runs to which Hydra gave a directory of its own."""
    from runwright.cli.basic_launcher import is_basic_sweeper

    if pending.composed is None or own.name != str(number):
        return own
    if not (is_basic_sweeper(pending.composed) and (known := _directories(own.parent))):
        return own
    place = known.place(number, config, _swept(pending))
    if place != own:
        remove_if_empty(own)
        print(f"Job #{number} of this command runs in {place}.", file=sys.stderr)
    return place


def _text(error: Exception, run_dir: Path) -> str:
    from runwright.errors import RunError, UserError, told

    log = run_dir / "log.txt"
    has_traceback = not isinstance(error, UserError | RunError) and log.exists()
    return told(error) + f" (its traceback is in {log})" * has_traceback


def remove_if_empty(folder: Path) -> None:
    """Remove the directory that Hydra made for a job that never ran."""
    with contextlib.suppress(OSError):
        folder.rmdir()
