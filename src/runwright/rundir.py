"""The run directory: what a run leaves behind explains itself and can be resumed.

config.yaml        the whole configuration; reproduces the run by itself
command.txt        the command line, and the one that resumes the run
environment.json   versions, machine, git commit
git.diff           uncommitted changes, if there were any
log.txt            what the run said
metrics.csv        every measure by step
result.json        how it ended
checkpoints/ pictures/
"""

import contextlib
import datetime
import functools
import importlib.metadata
import json
import logging
import math
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.types import RunMode

from runwright import schema
from runwright.changes import changes, group_members
from runwright.checkpoint import write_bytes
from runwright.errors import UserError
from runwright.logging import FILE_ONLY, log_to
from runwright.run import Config

log = logging.getLogger(__name__)
# The console gets the error from the program itself.
_file_log = logging.getLogger(FILE_ONLY)

_PACKAGES: Final = (
    "runwright",
    "torch",
    "torchvision",
    "numpy",
    "hydra-core",
    "omegaconf",
    "optuna",
)


class RunDir:
    """The directory of one run, locked against other processes while it is open."""

    def __init__(self, path: Path, config: Config) -> None:
        """Use `RunDir.open`, which also locks the directory and opens the log."""
        self.path = path
        self.config = config
        self._started = time.time()

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path | str | None, config: Config) -> Generator["RunDir"]:
        """Make or re-open a run directory, and record in it what is about to run.

        Raises:
            UserError: another process writes to it, or it belongs to another configuration.
        """
        directory = cls(Path(path) if path is not None else _new_path(), config)
        try:
            directory.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"hydra.run.dir={directory.path}: {error.strerror}.") from error
        with _locked(directory.path), log_to(directory.path):
            directory._describe()
            try:
                yield directory
            except BaseException as error:
                stopped = isinstance(error, KeyboardInterrupt | SystemExit)
                if not stopped:
                    _file_log.exception("The run failed.")
                elif any(directory.path.glob("checkpoints/*.safetensors")):
                    log.info("A checkpoint is saved. To go on: %s", resume_command(directory.path))
                status = "interrupted" if stopped else "failed"
                directory._result(status, error=f"{type(error).__name__}: {error}")
                raise
            finally:
                log.info("Run directory: %s", directory.path)

    def finish(self, value: float) -> None:
        """Record that the run came to its end, and with which value."""
        self._result("finished", value=None if math.isnan(value) else value)

    def _result(self, status: str, **rest: Any) -> None:
        if self.config.stage != "fit":  # the record of the training is not theirs to change
            return
        seconds = round(time.time() - self._started, 3)
        record = {"status": status, "stage": self.config.stage, "seconds": seconds, **rest}
        write_bytes(self.path / "result.json", (json.dumps(record, indent=2) + "\n").encode())

    def _describe(self) -> None:
        recorded = self.path / "config.yaml"
        has_checkpoints = any(self.path.glob("checkpoints/*.safetensors"))
        if has_checkpoints and recorded.exists():
            if self.config.stage == "fit":
                self._refuse_changes(recorded)
            else:
                return  # a measurement does not replace the record of the training
        if self.config.stage == "fit" and not has_checkpoints:
            (self.path / "metrics.csv").unlink(missing_ok=True)
        write_bytes(recorded, config_yaml(self.config, self.path).encode())
        write_bytes(self.path / "command.txt", (resume_command(self.path) + "\n").encode())
        environment = json.dumps(_environment() | _machine(), indent=2) + "\n"
        write_bytes(self.path / "environment.json", environment.encode())
        if diff := _git("diff", "HEAD"):
            write_bytes(self.path / "git.diff", (diff + "\n").encode())

    def _refuse_changes(self, recorded: Path) -> None:
        if not (changed := changes(recorded, self.config)):
            return
        listed = "\n".join(changed)
        if not self.config.checkpoint.allow_changes:
            raise UserError(
                f"{self.path} holds a run with another configuration:\n{listed}\n"
                "Take another hydra.run.dir, or resume it all the same with "
                "checkpoint.allow_changes=true."
            )
        log.warning("Resuming with a changed configuration:\n%s", listed)


def config_yaml(config: Config, path: Path) -> str:
    """The configuration as a primary configuration file that needs no other file."""
    members = group_members(config)
    defaults: list[Any] = [schema.SCHEMA_NAME]
    # The objective and groups of one's own are in the schema's defaults list, or in none.
    defaults += [{group: name} for group, name in members.items() if group != "objective"]
    # The data bring their objective with them; this file has the last word.
    defaults += ["_self_", {"override objective": members["objective"]}]
    values = {"defaults": defaults, **schema.plain_values(config)}
    return (
        "# The whole configuration of this run. It reproduces the run by itself:\n"
        f"#   {_program()} --config-dir {shlex.quote(str(path))} --config-name config\n"
        + schema.to_yaml(values)
    )


def resume_command(path: Path) -> str:
    """The command line that continues in the same directory, or the Python that does."""
    if not HydraConfig.initialized():
        return f"compose(…).run({str(path)!r})"
    hydra = HydraConfig.get()
    if hydra.mode is RunMode.MULTIRUN:  # this job alone
        arguments = list(hydra.overrides.task)
    else:
        arguments = [a for a in sys.argv[1:] if not a.startswith("hydra.run.dir=")]
    value = str(path)
    if not re.fullmatch(r"[A-Za-z0-9_/.\-]+", value):  # Hydra's own quotes, within the shell's
        value = QuotedString(value, Quote.single).with_quotes()
    arguments.append(f"hydra.run.dir={value}")
    return " ".join([_program(), *(shlex.quote(argument) for argument in arguments)])


def _program() -> str:
    return f"python {sys.argv[0]}" if sys.argv[0].endswith(".py") else "python main.py"


def _new_path() -> Path:
    now = datetime.datetime.now().astimezone()
    return Path("outputs") / now.strftime("%Y-%m-%d") / now.strftime("%H-%M-%S-%f")


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    """Hold the directory's lock; the system frees it when the process ends, however it ends."""
    lock = FileLock(path / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"Another process is writing to {path}. Wait for it, or take another hydra.run.dir."
        ) from error
    try:
        yield
    finally:
        lock.release()


@functools.cache
def _environment() -> dict[str, Any]:
    """What stays the same in a process: it is looked up once, also for a hundred jobs."""
    versions: dict[str, str] = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "packages": versions,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_uncommitted_changes": (_git("status", "--porcelain") or "").splitlines(),
    }


def _machine() -> dict[str, Any]:
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID")
    return {
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "argv": sys.argv,
        "working_directory": str(Path.cwd()),
        "environment": {name: os.environ[name] for name in names if name in os.environ},
    }


def _git(*arguments: str) -> str | None:
    """The output of a git command on the code that runs; None outside a repository."""
    folder = Path(sys.argv[0]).resolve().parent if sys.argv[0].endswith(".py") else Path.cwd()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.rstrip("\n")
    return None
