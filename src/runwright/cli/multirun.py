"""`--multirun`: launching the jobs, and what to say when not all can be launched."""

import gc
import itertools
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runwright.cli.basic_launcher import is_basic_sweeper
from runwright.cli.commands_to_type import sweep_command
from runwright.cli.job import (
    JobsRefusedError,
    JobsStoppedError,
    job,
    remove_if_empty,
    source_folders,
)
from runwright.cli.mistakes import mistakes_of_multirun
from runwright.comparison.formats import terminal_width
from runwright.compose._hydra import Hydra
from runwright.compose.loader import StrictConfigLoader
from runwright.errors import ConfigError, JobsGoOn, RunError, UserError
from runwright.rundir.layout import MULTIRUN, among_choices
from runwright.rundir.overwritten import is_marked
from runwright.rundir.sweep_layout import in_the_way_of_a_multirun
from runwright.storage.atomic_files import is_within


def launch_jobs(hydra: Hydra, config_name: str, overrides: list[str]) -> None:
    """Run the jobs of a multirun, or hand them to their launcher.

    Raises:
        UserError: none was launched.
        RunError: the file system failed, and not all jobs were launched.
    """
    logging.raiseExceptions = False  # after `| head` the jobs continue, unseen
    gc.freeze()  # imports stay, the objects of each job are freed; see `app.main`
    gc.enable()
    loader = hydra.config_loader
    assert isinstance(loader, StrictConfigLoader)
    made: list[Path] = []

    def check(composed: DictConfig) -> list[str]:
        made.extend(_missing(Path(str(composed.hydra.sweep.dir))))
        return _in_the_way(composed)

    loader.check_multirun = check
    try:
        _launch(hydra, config_name, overrides, loader)
    except JobsRefusedError as refused:
        raise ConfigError(refused.problems) from None
    except JobsStoppedError as stopped:
        way = f" To resume all jobs: {command}" if (command := _command(loader)) else ""
        print(f"The jobs after it are not launched.{way}", file=sys.stderr)
        raise stopped.error from None
    except ConfigError as error:
        if loader.pending.has_launched:
            raise
        raise mistakes_of_multirun(error, loader, config_name, overrides) from None
    except BrokenPipeError:  # nobody reads the table, as after `| head`
        raise
    except OSError as error:
        told = _of_storage(error, loader)
        if told is None:
            raise
        raise told from error
    except JobsGoOn:
        raise
    except (KeyboardInterrupt, SystemExit):
        if loader.pending.has_launched and (command := _command(loader)):
            print(f"To resume all jobs: {command}", file=sys.stderr)
        raise
    finally:
        _remove_stray(loader)
        if not loader.pending.has_launched:
            _remove_unused(made)


def _launch(
    hydra: Hydra, config_name: str, overrides: list[str], loader: StrictConfigLoader
) -> None:
    """Launch the jobs; when they have ended, of which some may have failed, show their results."""
    try:
        hydra.multirun(config_name=config_name, task_function=job, overrides=overrides)
    except JobsGoOn:
        raise
    except (Exception, JobsStoppedError):
        if loader.pending.has_launched:
            _show_results(loader)
        raise
    _show_results(loader)


def _show_results(loader: StrictConfigLoader) -> None:
    """Print the table of the runs, if a sweeper does not sum them up in its own way."""
    composed, is_main = loader.pending.composed, os.environ.get("RANK", "0") == "0"
    if composed is None or not is_basic_sweeper(composed) or not is_main:
        return
    from runwright.comparison.report import Comparison, reports
    from runwright.comparison.run_record import find_runs, read_run

    runs = [read_run(path) for path in find_runs([_folder(loader)]) if not is_marked(path)]
    trained = [run for run in runs if run.options.get("stage", "fit") == "fit"]
    if len(trained) < 2:
        return
    for report in reports(trained, Comparison(width=terminal_width())):
        print("", *filter(None, [report.title]), report.table, *report.notes, sep="\n")


def _in_the_way(composed: DictConfig) -> list[str]:
    problems = list(_for_one_process(composed))
    if os.environ.get("RANK", "0") != "0":  # which has a directory of its own
        return problems
    folder = Path(str(composed.hydra.sweep.dir))
    told = among_choices(folder, source_folders(composed.hydra))
    return problems + ([f"hydra.sweep.dir: {told}"] if told else in_the_way_of_a_multirun(folder))


def _for_one_process(composed: DictConfig) -> Iterator[str]:
    """A text for what each of several processes would do for itself."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    chosen = composed.hydra.runtime.choices
    if not str(composed.hydra.launcher.get("_target_")).endswith(".BasicLauncher"):
        yield (
            f"hydra/launcher={chosen['hydra/launcher']}: it starts processes of its own. Leave it "
            "out, or torchrun."
        )
    if not is_basic_sweeper(composed):
        yield (
            f"hydra/sweeper={chosen['hydra/sweeper']}: a sweep is started by one process. Leave "
            "out torchrun; hydra.sweeper.n_jobs runs several trials at a time."
        )


def _of_storage(error: OSError, loader: StrictConfigLoader) -> UserError | RunError | None:
    """What to say when the directory of the multirun, or of a job, cannot be written."""
    if loader.pending.composed is None:
        return None
    folder = _folder(loader)
    file = folder if error.filename is None else Path(str(error.filename))
    if not (is_within(file, folder) or is_within(folder, file)):
        return None
    is_the_folders = is_within(folder, file) or file.name == "multirun.yaml"
    if is_the_folders or not loader.pending.has_launched:
        return UserError(f"hydra.sweep.dir={folder}: {file}: {error.strerror}.")
    command = _command(loader)
    way = f" Once that is fixed, resume with: {command}" if command else ""
    return RunError(f"{file}: {error.strerror}. The remaining jobs were not launched.{way}")


def _command(loader: StrictConfigLoader) -> str | None:
    """What resumes all jobs; None where a sweeper has its own way, or none."""
    is_basic = loader.pending.composed is not None and is_basic_sweeper(loader.pending.composed)
    return sweep_command(_folder(loader)) if is_basic else None


def _folder(loader: StrictConfigLoader) -> Path:
    assert loader.pending.composed is not None
    return Path(str(loader.pending.composed.hydra.sweep.dir))


def _missing(folder: Path) -> list[Path]:
    """The directories that have to be made for this one, itself first."""
    return list(itertools.takewhile(lambda path: not path.exists(), [folder, *folder.parents]))


def _remove_unused(made: list[Path]) -> None:
    """Remove the directories that were made for a multirun without a job, if they hold nothing."""
    if made and made[0].is_dir() and [path.name for path in made[0].iterdir()] == [MULTIRUN]:
        (made[0] / MULTIRUN).unlink()
    for folder in made:
        remove_if_empty(folder)


def _remove_stray(loader: StrictConfigLoader) -> None:
    """Remove the directory of a process other than the main one, if it has its own.

    It has one if the name contains the microsecond in which it was composed. Any other name,
    wherever it was given, may be the main process's.
    """
    if os.environ.get("RANK", "0") == "0" or loader.pending.composed is None:
        return
    sweep: Any = OmegaConf.to_container(loader.pending.composed.hydra.sweep, resolve=False)
    if not re.search(r"\$\{now:[^}]*%f", str(sweep["dir"])):
        return
    folder = _folder(loader)
    (folder / "multirun.yaml").unlink(missing_ok=True)
    for inner in folder.iterdir() if folder.is_dir() else ():
        remove_if_empty(inner)
    remove_if_empty(folder)
