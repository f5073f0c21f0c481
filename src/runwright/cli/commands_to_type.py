"""The command lines that the program tells a user to type, to resume what was started."""

import shlex
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from runwright.compose._hydra import arguments_parser
from runwright.compose.overrides import with_path
from runwright.rundir.provenance import program


def resume_command(path: Path) -> str:
    """The command line that resumes in the same directory."""
    hydra = HydraConfig.get()
    if hydra.mode is RunMode.MULTIRUN:  # this job alone
        arguments = [*config_flags(), *hydra.overrides.task]
    else:
        arguments = [a for a in sys.argv[1:] if not a.startswith("hydra.run.dir=")]
    arguments.append(with_path("hydra.run.dir", str(path)))
    return command(arguments)


def directory_option() -> str:
    """The option that says where this run, or the multirun that it belongs to, is written."""
    is_job = HydraConfig.get().mode is RunMode.MULTIRUN
    return "hydra.sweep.dir" if is_job else "hydra.run.dir"


def sweep_command(path: Path) -> str:
    """The command line that resumes all jobs of a multirun in the same directory."""
    arguments = [a for a in sys.argv[1:] if not a.startswith("hydra.sweep.dir=")]
    return command([*arguments, with_path("hydra.sweep.dir", str(path))])


def command(arguments: list[str]) -> str:
    """The command line that gives the program these arguments, to go on: it overwrites nothing."""
    arguments = [one for one in arguments if one.lstrip("+").partition("=")[0] != "overwrite"]
    return f"{program()} {shlex.join(arguments)}"


def config_flags() -> list[str]:
    """The flags of the command line that say where the configuration comes from."""
    args, _ = arguments_parser().parse_known_args(sys.argv[1:])
    given = {
        f"--config-{name}": getattr(args, f"config_{name}") for name in ("path", "dir", "name")
    }
    return [argument for flag, value in given.items() if value for argument in (flag, value)]
