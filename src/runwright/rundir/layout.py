"""The names that a run writes to: whether they are a run's, and what is in the way.

A directory is a run's if it says so itself: `environment.json` is written before anything that
could overwrite another program's file, so a run that is killed at any moment can resume in its
directory, and no run destroys what it finds in a folder that is not a run directory.
"""

import contextlib
import json
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from runwright.errors import UserError
from runwright.rundir.checkpoint import STATE_SUFFIX, WEIGHTS_SUFFIX
from runwright.rundir.safetensors_header import read_metadata
from runwright.storage.atomic_files import is_within
from runwright.storage.kept import KEPT, KEPT_SUFFIXES

ENVIRONMENT: Final = "environment.json"
LOG: Final = "log.txt"
MULTIRUN: Final = "multirun.yaml"
OVERWRITTEN: Final = "overwritten.txt"
"""It marks the run of a multirun that was started over; see `overwritten.py`."""
BUILDING: Final = ".overwriting"
"""The folder for what a run writes before it takes the place of the run in its directory."""
HEADER: Final = "# The whole configuration of this run."

FILES: Final = (
    *("config.yaml", "command.txt", ENVIRONMENT, "git.diff", LOG, "metrics.csv", OVERWRITTEN),
    *(
        "finetune.json",
        "result.json",
        "validate.json",
        "test.json",
        "predictions_val.csv",
        "predictions_test.csv",
    ),
)
LOCK: Final = ".lock"
# The folders, and the suffixes of the files that are written in them.
_FOLDERS: Final = {
    "checkpoints": WEIGHTS_SUFFIX,
    KEPT: KEPT_SUFFIXES,
    "pictures": ".png",
    "tensorboard": None,
}

_KEYS_OF_ENVIRONMENT: Final = frozenset({"python", "platform", "packages", "git_commit"})

_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def refuse_what_is_in_the_way(path: Path, named: str) -> None:
    """Make sure that a run can write to a directory without destroying anything of another's.

    Args:
        path: the directory, which exists.
        named: what the user calls it.

    Raises:
        UserError: a folder, a pipe or a link that leads nowhere has the name of a file; or there
            are files under names that a run writes to, and no run wrote them.
    """
    for place, wanted in _places(path):
        if (found := unfit(place, wanted)) is not None:
            raise UserError(f"{place} is {found}. A run writes there: move it out of the way.")
    # In this order: another run may be starting in it right now.
    if (taken := _taken(path)) and not is_run_directory(path):
        raise UserError(
            f"{named}: it is not a run directory, and a run would overwrite what is there: "
            f"{', '.join(taken)}. Use another directory, or move those away."
        )


def no_folder(path: Path) -> str | None:
    """What prevents a folder from being made: "/there is a file"; None if nothing does."""
    with contextlib.suppress(OSError):  # a name may be too long
        for place in (*reversed(path.absolute().parents), path.absolute()):
            if (found := unfit(place, stat.S_IFDIR)) is not None:
                return f"{place} is {found}"
    return None


def among_choices(path: Path, sources: Iterable[Path]) -> str | None:
    """Why nothing can run in a directory among a project's YAML files; None if it is elsewhere.

    What a run writes there would be read as members of groups, and no later command would compose.

    Args:
        path: the directory.
        sources: the folders where configurations are looked for.
    """
    here = Path.cwd()
    for source in sources:
        if not is_within(path, source) or is_within(here, source):
            continue
        if not (is_run_directory(source) or is_run_directory(path)):
            return (
                f"{path} is in {source}, where YAML files are looked for: what a run writes there "
                "would be taken for choices. Use another directory."
            )
    return None


def is_run_directory(path: Path) -> bool:
    """Whether a run has written to this directory, even if it was killed at once."""
    return (
        _is_own_environment(path / ENVIRONMENT)
        or any(_is_own_state(file) for file in (path / "checkpoints").glob(f"*{STATE_SUFFIX}"))
        or _was_just_begun(path)
    )


def _is_own_environment(file: Path) -> bool:
    try:
        record: Any = json.loads(file.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.keys() >= _KEYS_OF_ENVIRONMENT


def _is_own_state(file: Path) -> bool:
    """Whether the header of a safetensors file has what only checkpoints of this program have."""
    return read_metadata(file).keys() >= {"info", "digest"}


def _was_just_begun(path: Path) -> bool:
    """Whether version 0.1 was killed here before it wrote `environment.json`, its last file."""
    try:
        with (path / LOG).open() as log:
            is_own_log = log.readline(4).startswith("[20")
        config = path / "config.yaml"
        is_own_config = not config.exists() or config.read_text().startswith(HEADER)
        return is_own_log and is_own_config and (path / LOCK).stat().st_size == 0
    except (OSError, UnicodeDecodeError):
        return False


def _taken(path: Path) -> list[str]:
    """The names of a run that are already taken; an empty folder is not."""
    files = [name for name in FILES if (path / name).exists()]
    lock = path / LOCK  # locking would empty it
    if lock.exists() and lock.stat().st_size:
        files.append(LOCK)
    folders = [f"{name}/" for name in _FOLDERS if any(_entries(path / name))]
    return [*files, *folders]


def _places(path: Path) -> Iterator[tuple[Path, int]]:
    """Where a run writes, and the kind of file that may be there."""
    for name in (*FILES, LOCK):
        yield path / name, stat.S_IFREG
    for name, suffix in _FOLDERS.items():
        yield path / name, stat.S_IFDIR
        if suffix is not None:
            for entry in _entries(path / name):
                if entry.name.endswith(suffix):
                    yield entry, stat.S_IFREG


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def unfit(place: Path, wanted: int) -> str | None:
    """What is there, if a run can neither write to it nor replace it."""
    try:
        kind = stat.S_IFMT(place.stat().st_mode)
    except OSError:
        if not place.is_symlink():
            return None
        return f"a link to {place.readlink()}, which cannot be reached"
    return None if kind == wanted else _KINDS.get(kind, "not a file")
