"""The program behind `main.py`.

Its exit status is 0 when all is done, 1 when a run failed, 2 for the user's mistake, 130 after
Ctrl-C and 143 after SIGTERM, both with a checkpoint saved.
"""

import contextlib
import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runwright.cli.exit_status import DONE, end_program, exit_status

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from runwright.config import Config


def main(
    conf: str | None = "conf",
    *,
    config_name: str = "config",
    config: "type[Config] | None" = None,
    factories: Sequence[str] = (),
) -> None:
    """Run the command line; does not return.

    Args:
        conf: the folder of YAML files, relative to the script; None when there is none.
        config_name: the primary configuration in it, without `.yaml`.
        config: the class of the configuration, `Config` by default.
        factories: modules to import, by name, so that the factories in them can be chosen.
    """
    # Importing and composing make many objects and free few: until a job runs, collecting is waste.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # where "≥" cannot be printed, "?" will do
            stream.reconfigure(errors="replace")

    def command() -> int:
        from runwright.cli.commandline import run_command_line
        from runwright.config import Config

        for module in factories:
            importlib.import_module(module)
        run_command_line(conf, config_name, config or Config)
        return DONE

    end_program(exit_status(command))


class JobsRefusedError(BaseException):
    """Jobs of a multirun cannot succeed. No Exception: Hydra would go on with the next job."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = problems
        super().__init__(problems)


def job(composed: "DictConfig") -> float:
    """Run one composed job; what Hydra's launchers call, here or on another machine.

    Raises:
        JobsRefusedError: this is the first job of a multirun in this process, and of those that
            wait to be launched some are bound to fail.
    """
    gc.enable()
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from runwright import preflight
    from runwright.compose import composition
    from runwright.errors import ConfigError, free_variables

    hydra = HydraConfig.get()
    if GlobalHydra.instance().is_initialized():  # not in a launcher's own process
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, composition.StrictConfigLoader)
        if hydra.mode is RunMode.MULTIRUN:
            try:
                preflight.check_jobs(loader)
            except ConfigError as error:
                remove_if_empty(Path(hydra.runtime.output_dir))
                raise JobsRefusedError(error.problems) from None
    try:
        return composition.to_config(composed).run(hydra.runtime.output_dir)
    except Exception as error:
        if hydra.mode is RunMode.MULTIRUN:  # the others go on; Hydra reports the first at the end
            text = _text(error, Path(hydra.runtime.output_dir))
            print(f"Job #{hydra.job.num} failed: {text}", file=sys.stderr)
            free_variables(error)
        raise
    finally:
        if os.environ.get("RANK", "0") != "0":  # only the main process writes, and to its own
            remove_if_empty(Path(hydra.runtime.output_dir))


def _text(error: Exception, run_dir: Path) -> str:
    from runwright.errors import RunError, UserError

    if isinstance(error, UserError | RunError):
        return str(error)
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    log = run_dir / "log.txt"
    return f"{text} (its traceback is in {log})" if log.exists() else text


def remove_if_empty(folder: Path) -> None:
    """Remove the directory that Hydra made for a job of which nothing ran."""
    with contextlib.suppress(OSError):
        folder.rmdir()
