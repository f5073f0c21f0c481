"""The record of a run: its configuration, its command, its code, its machine and its time."""

import contextlib
import datetime
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runwright.compose import schema
from runwright.compose.yaml_text import escaped, to_yaml
from runwright.config import Config
from runwright.plain import plain_values
from runwright.rundir.changes import chosen_files, group_members, usual_choices
from runwright.rundir.layout import ENVIRONMENT, HEADER
from runwright.rundir.provenance import environment, program, this_process, uncommitted
from runwright.rundir.result import RESULT
from runwright.storage.atomic_files import write_bytes


def write_record(path: Path, config: Config, *, resume_command: Callable[[Path], str]) -> None:
    """Record what is about to run in a directory, replacing what ran there before."""
    if config.stage.trains:
        (path / RESULT).unlink(missing_ok=True)  # of the run that now resumes
    write_bytes(path / "config.yaml", config_yaml(config, path).encode())
    write_bytes(path / "command.txt", (resume_command(path) + "\n").encode())
    if diff := uncommitted():
        write_bytes(path / "git.diff", diff + b"\n")
    else:
        (path / "git.diff").unlink(missing_ok=True)


def write_environment(path: Path, config: Config, *, seconds_before: float = 0.0) -> None:
    """Record the versions, the machine and this process, which makes it a run directory."""
    rest = {"chosen": chosen_files(config), "seconds_before": round(seconds_before, 3)}
    text = json.dumps(environment() | this_process() | rest, indent=2) + "\n"
    write_bytes(path / ENVIRONMENT, text.encode())


def config_yaml(config: Config, path: Path) -> str:
    """The configuration as a primary configuration file that needs no other file."""
    members = group_members(config)
    # What is in the defaults lists of the schemas already: the data bring their objective with
    # them, others their usual members. This file has the last word.
    brought = ["objective", *usual_choices(config)]
    defaults: list[Any] = [schema.SCHEMA_NAME]
    defaults += [{group: name} for group, name in members.items() if group not in brought]
    defaults += ["_self_"]
    defaults += [{f"override {group}": members[group]} for group in brought if group in members]
    values = {"defaults": defaults, **escaped(plain_values(config)), "overwrite": False}
    return (
        f"{HEADER} It reproduces the run by itself:\n"
        f"#   {program()} --config-dir {shlex.quote(str(path))} --config-name config\n"
        + to_yaml(values)
    )


def seconds_spent(path: Path) -> float:
    """How long the processes of this run have worked on it, the last until it last wrote."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # it was killed
        return float(json.loads((path / RESULT).read_text())["seconds"])
    try:
        last: dict[str, Any] = json.loads((path / ENVIRONMENT).read_text())
        started = datetime.datetime.fromisoformat(last["started"]).timestamp()
        before = float(last["seconds_before"])
    except (OSError, ValueError, KeyError, TypeError):  # incomplete, or not one of ours
        return 0.0
    written = [path / "metrics.csv", *(path / "checkpoints").iterdir()]
    wrote = max(file.stat().st_mtime for file in written if file.exists())
    return before + max(0.0, wrote - started)
