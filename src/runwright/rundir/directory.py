"""The run directory: what a run leaves behind explains itself and can be resumed.

config.yaml        the whole configuration; reproduces the run by itself
command.txt        the command line, and the one that resumes the run
environment.json   versions, machine, git commit
git.diff           uncommitted changes, if there were any
log.txt            what the run said
metrics.csv        every measure by step
result.json        how it ended
finetune.json      what was loaded of the weights of another training, if there were any
kept/              what the training made of its data and later stages read, if anything
adapter/           the adapters that were trained, as the peft package reads them, if there were any
checkpoints/ pictures/
"""

import contextlib
import datetime
import errno
import logging
import os
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout

from runwright.caller import REQUEUE, Caller, is_restarted
from runwright.config import Config, chosen_name
from runwright.errors import RunError, UserError
from runwright.rundir.changes import changes
from runwright.rundir.checkpoint import Checkpoints
from runwright.rundir.emptying import empty, refuse_to_remove_sources
from runwright.rundir.layout import (
    BUILDING,
    is_run_directory,
    no_folder,
    refuse_what_is_in_the_way,
)
from runwright.rundir.messages import FILE_ONLY, LogFile, log_to
from runwright.rundir.overwritten import unmark
from runwright.rundir.record import seconds_spent, write_environment, write_record
from runwright.rundir.result import FitResult, read_result, read_stages, record_stage, write_result
from runwright.storage.atomic_files import is_within
from runwright.storage.kept import KEPT

if TYPE_CHECKING:
    from runwright.device.distributed import World

log = logging.getLogger(__name__)
# The program itself prints the error on the console.
_file_log = logging.getLogger(FILE_ONLY)

_IN_PYTHON: Final = Caller()

_NO_RECORD: Final = "  config.yaml is missing, which says what it was trained with"

_NO_STORAGE: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ESTALE,
    }
)

_IN_THE_WAY: Final = frozenset({errno.EEXIST, errno.EISDIR, errno.ENOTDIR})


class RunDir:
    """The directory of one run, locked against other processes while it is open.

    Attributes:
        path: where it is.
        config: what is to run.
        finished: the recorded result of this training, if it has already finished.
        changed: how the configuration differs from the recorded one, a line each.
        overwrites: whether there is a run that this one is to take the place of, once everything
            is built.
        building: where to write what is made before that: the directory itself otherwise.
    """

    def __init__(self, path: Path, config: Config, caller: Caller) -> None:
        """Use `RunDir.open`, which also locks the directory and opens the log."""
        self.path = self.building = path
        self.config = config
        self.caller = caller
        self.overwrites = False
        self.finished: FitResult | None = None
        self.changed: list[str] = []
        self._is_recorded = self._is_begun = False
        self._is_whole = False
        self._may_overwrite = config.overwrite and config.stage.trains and not is_restarted()
        self._log: LogFile | None = None
        self._writes = True
        self._checkpoints = Checkpoints(path / "checkpoints", config.checkpoint)
        self._started = time.time()
        self._seconds_before = 0.0

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        path: Path | str | None,
        config: Config,
        world: "World | None" = None,
        caller: Caller = _IN_PYTHON,
    ) -> Generator["RunDir"]:
        """Make or reopen a run directory, and record in it what is about to run.

        With several processes the main one does so, and the others learn where it is.

        Raises:
            UserError: another process writes to it, or it belongs to another configuration.
            RunError: it cannot be written, e.g. because the disk is full; also later on.
        """
        if world is not None and not world.is_main:
            where, finished, changed, overwrites = world.broadcast(None) or ("", None, [], False)
            directory = cls(Path(where), config, caller)
            directory.finished, directory.changed = finished, changed
            directory._overwrite_later(overwrites=overwrites)
            directory._writes = False
            yield directory
            return
        directory = cls(Path(path) if path is not None else _new_path(config), config, caller)
        directory._make()
        with (
            _explained(directory.path, directory._checkpoints, caller),
            _locked(directory.path, caller),
            directory._begun(),
        ):
            directory._compare()
            _link_latest(directory.path)
            if config.stage.trains and not directory.overwrites:
                unmark(directory.path)
            if world is not None:
                where = str(directory.path.resolve())
                world.broadcast(
                    (where, directory.finished, directory.changed, directory.overwrites)
                )
            try:
                yield directory
            except BaseException as error:
                stopped = isinstance(error, KeyboardInterrupt | SystemExit)
                if not stopped:
                    _file_log.exception("The run failed.")
                elif directory._has_saved():
                    way = f"To resume: {caller.resume_command(directory.path)}"
                    if isinstance(error, SystemExit) and error.code == REQUEUE:
                        way = "This job will be requeued."
                    log.info("A checkpoint was saved. %s", way)
                status = "interrupted" if stopped else "failed"
                with contextlib.suppress(OSError):  # that may be why the run failed
                    directory._result(status, error=f"{type(error).__name__}: {error}")
                raise
            finally:
                if directory.overwrites:
                    log.info("Nothing was overwritten: the run that was there still is.")
                log.info("Run directory: %s", directory.path)

    def _has_saved(self) -> bool:
        return self._checkpoints.exist() and not self._is_whole and not self.overwrites

    @property
    def lacks_pictures(self) -> bool:
        """Whether the pictures of a finished training were not drawn."""
        return not (self.path / "pictures" / "learning_curves.png").exists()

    def finish(self, fitted: FitResult, **rest: Any) -> None:
        """Record that the training has finished, its result, and the rest."""
        self._result(fitted.status, **fitted.recorded, **rest)
        self._is_whole = True

    @property
    def stages_done(self) -> list[str]:
        """The stages that have followed the training on record."""
        return read_stages(self.path)

    def record_stage(self, name: str) -> None:
        """Record that a stage has followed the training."""
        record_stage(self.path, name)

    def _result(self, status: str, **rest: Any) -> None:
        # Another stage must not change the record of a training, nor must a run that could not be
        # resumed, and a complete record is final.
        if not self.config.stage.trains or not self._is_recorded or self._is_whole:
            return
        seconds = self._seconds_before + time.time() - self._started
        write_result(
            self.path, status, stage=chosen_name(self.config.stage), seconds=seconds, **rest
        )

    @contextlib.contextmanager
    def _begun(self) -> Generator[None]:
        """Make it a run directory before writing anything that could overwrite another's files."""
        self._is_begun = not is_run_directory(self.path)
        self._overwrite_later(overwrites=self._may_overwrite and not self._is_begun)
        if self.overwrites:
            self._refuse_to_remove_sources("overwrite=true")
        if self.config.stage.trains and (self.path / BUILDING).exists():  # of one that was killed
            shutil.rmtree(self.path / BUILDING)
        if self._is_begun:
            write_environment(self.path, self.config)
        with log_to(self.path) as self._log:
            try:
                yield
            finally:
                if self.overwrites:
                    shutil.rmtree(self.building, ignore_errors=True)

    def _refuse_to_remove_sources(self, by: str) -> None:
        refuse_to_remove_sources(self.path, self.config, by, self.caller.directory_option)

    def _overwrite_later(self, *, overwrites: bool) -> None:
        self.overwrites = overwrites
        self.building = self.path / BUILDING if overwrites else self.path

    def take_place(self, world: "World") -> None:
        """Put this run in the place of the one that it overwrites, now that it can begin."""
        if not self.overwrites:
            return
        world.barrier()  # all of its processes can
        building = self.building
        self._overwrite_later(overwrites=False)
        with world.main_first():
            if self._writes:
                self._empty(building)

    def _empty(self, building: Path) -> None:
        assert self._log is not None
        log.info("Emptying %s, which holds a run, for this one.", self.path)
        left = empty(self.path)
        self._log.drop_earlier_runs()
        self.record()
        unmark(self.path)  # which another job of a multirun may have marked since it was emptied
        for made in [file for file in building.rglob("*") if file.is_file()]:
            place = self.path / made.relative_to(building)
            place.parent.mkdir(parents=True, exist_ok=True)
            made.replace(place)
        shutil.rmtree(building, ignore_errors=True)
        if left:
            log.warning("No run wrote these, so they are still there: %s.", ", ".join(left))

    def _compare(self) -> None:
        """Compare what is to run with the record, and record it if it starts from scratch."""
        if self.overwrites:
            return
        recorded = self.path / "config.yaml"
        is_training = self.config.stage.trains
        can_resume = self._checkpoints.exist()
        if can_resume:
            self._seconds_before = seconds_spent(self.path)
        holds_weights = can_resume or self._checkpoints.best.exists()
        is_recorded = recorded.exists()
        if holds_weights and (is_training or is_recorded):
            if not is_training:
                return  # a measurement does not replace the record of the training
            self.changed = changes(recorded, self.config) if is_recorded else [_NO_RECORD]
            if self.changed:
                self._refuse_unless_allowed(can_resume=can_resume)
            elif (finished := read_result(self.path)) is not None:
                self.finished = finished
                return  # its record is final
            elif not can_resume:
                log.warning("Only the best weights are left of this run: starting over.")
            if not can_resume:
                self._refuse_to_remove_sources("Starting over")
                self._overwrite_later(overwrites=True)
                return
        if not can_resume:
            if is_training:
                (self.path / "metrics.csv").unlink(missing_ok=True)
                if (self.path / KEPT).exists():  # made of other data, perhaps
                    shutil.rmtree(self.path / KEPT)
            self.record()

    def record(self) -> None:
        """Record what is about to run; for a resumed run, once it is certain that it can resume."""
        if not self._writes:
            return
        self._is_recorded = True
        write_record(self.path, self.config, resume_command=self.caller.resume_command)
        if not self._is_begun:
            write_environment(self.path, self.config, seconds_before=self._seconds_before)
        self._is_begun = False

    def _make(self) -> None:
        """Make the directory, unless it exists and is, or can become, a run's."""
        named = self.caller.named(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._refuse_if_read_only()
            refuse_what_is_in_the_way(self.path, named)
        except OSError as error:
            raise UserError(f"{named}: {no_folder(self.path) or error.strerror}.") from error

    def _refuse_if_read_only(self) -> None:
        if os.access(self.path, os.W_OK | os.X_OK):
            return
        way = "Use another one."
        if not self.config.stage.trains and self._checkpoints.newest() is not None:
            way = (
                "The weights in it can be used from elsewhere: give "
                f"checkpoint.load={self.path} and another {self.caller.directory_option}."
            )
        raise UserError(f"{self.caller.named(self.path)}: it is not writable. {way}")

    def _refuse_unless_allowed(self, *, can_resume: bool) -> None:
        listed = "\n".join(self.changed)
        if not self.config.checkpoint.allow_changes:
            held = "a run" if can_resume else "the best weights of a run"
            way = "resume it anyway" if can_resume else "start over in their place"
            is_known = self.changed != [_NO_RECORD]
            which, first = ("another", "Use") if is_known else ("an unknown", "Put it back, use")
            raise UserError(
                f"{self.path} holds {held} with {which} configuration:\n{listed}\n"
                f"{first} another {self.caller.directory_option}, {way} with "
                "checkpoint.allow_changes=true, or empty it first with overwrite=true."
            )
        if can_resume:
            log.warning("Resuming with a changed configuration:\n%s", listed)
        else:
            log.warning("Starting over with a changed configuration:\n%s", listed)


def _new_path(config: Config) -> Path:
    now = datetime.datetime.now().astimezone()
    return (
        config.machine.output_dir
        / "outputs"
        / now.strftime("%Y-%m-%d")
        / now.strftime("%H-%M-%S-%f")
    )


def _link_latest(path: Path) -> None:
    """Let `outputs/latest` lead to the newest of the runs that are named by their time."""
    outputs = path.resolve().parents[1]
    link = outputs / "latest"
    if outputs.name != "outputs" or (link.exists() and not link.is_symlink()):
        return
    with contextlib.suppress(OSError):  # some file systems have no links
        made = outputs / f".latest-{os.getpid()}"
        made.symlink_to(path.resolve().relative_to(outputs))
        made.replace(link)


@contextlib.contextmanager
def _explained(path: Path, checkpoints: Checkpoints, caller: Caller) -> Generator[None]:
    """When the disk fails, say what became of the run, and how to resume."""
    try:
        yield
    except OSError as error:
        file = error.filename2 or error.filename  # the new name, if there are two
        if error.errno in _IN_THE_WAY and is_within(Path(str(file)), path):
            raise UserError(
                f"{file}: {error.strerror}. A run writes there: move it out of the way."
            ) from error
        if error.errno not in _NO_STORAGE:
            raise
        are_saved = checkpoints.exist()
        kept = "The checkpoints are intact" if are_saved else "There is no checkpoint yet"
        raise RunError(
            f"{error.filename or path}: {error.strerror}. {kept}. Once it is writable again, "
            f"resume with: {caller.resume_command(path)}"
        ) from error


@contextlib.contextmanager
def _locked(path: Path, caller: Caller) -> Generator[None]:
    """Hold the directory's lock; the system releases it when the process ends, however it ends."""
    lock = FileLock(path / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"Another process is writing to {path}. Wait for it, or use another "
            f"{caller.directory_option}."
        ) from error
    try:
        yield
    finally:
        lock.release()
