"""`overwrite=true`: empties a run directory of what a run wrote, and of nothing else.

What a run can continue from goes first, so that nothing half emptied resumes. `environment.json`
and `log.txt` stay until the next run replaces them: so the directory remains a run's whenever this
is killed, and says what happened.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

from runwright.config import Config
from runwright.errors import UserError
from runwright.factory import CONFIG_GROUPS
from runwright.figures import is_own_figure
from runwright.plain import leaves, plain_values
from runwright.rundir.layout import BUILDING, ENVIRONMENT, FILES, LOCK, LOG
from runwright.storage.kept import KEPT, KEPT_SUFFIXES

_KEPT_FILES: Final = frozenset({ENVIRONMENT, LOG})
_WRITING: Final = ("stage", "objective")  # groups whose members name what they write
_CHECKPOINT: Final = re.compile(
    r"(step-\d{8,}|best-step-\d{8,}|best|last)(?P<state>\.state)?\.safetensors"
)
_EVENTS: Final = re.compile(r"events\.out\.tfevents\..+")
_ADAPTER: Final = ("adapter_config.json", "adapter_model.safetensors")


def refuse_to_remove_sources(path: Path, config: Config, by: str, named: str) -> None:
    """Make sure that the run does not start from what emptying its directory would remove.

    Args:
        path: the directory.
        config: the run's.
        by: why it would be emptied, as the error says it.
        named: the option that sets the directory.

    Raises:
        UserError: an option names a file that would be removed, or a folder with one.
    """
    inside, own = path.resolve(), {file.resolve() for file in _own_files(path)}
    for key, value in leaves(plain_values(config)):
        if not isinstance(value, str) or not value or "\0" in value or len(value) > 4096:
            continue
        if key.startswith("machine."):  # what refers to it is what counts
            continue
        try:
            place = Path(value).resolve()
            is_source = place.is_relative_to(inside) and any(
                file.is_relative_to(place) for file in own
            )
        except OSError:  # no path at all
            continue
        if is_source:
            raise UserError(f"{by} would remove what {key}={value} names. Take another {named}.")


def empty(path: Path) -> list[str]:
    """Remove what a run wrote to its directory, which is locked.

    Returns:
        What is still there, as no run wrote it.
    """
    for file in [*_own_files(path)]:
        file.unlink()
    steps = [f"pictures/{folder.name}" for folder in _pictures_of_steps(path)]
    for folder in (*steps, "checkpoints", "pictures", "tensorboard", "adapter", KEPT):
        place = path / folder
        if place.is_dir() and not place.is_symlink() and not any(place.iterdir()):
            place.rmdir()
    ours = {LOCK, BUILDING, *_KEPT_FILES}
    return sorted(entry.name for entry in path.iterdir() if entry.name not in ours)


def _own_files(path: Path) -> Iterator[Path]:
    checkpoints = {file: _CHECKPOINT.fullmatch(file.name) for file in _files(path / "checkpoints")}
    own = {file: match for file, match in checkpoints.items() if match is not None}
    yield from (file for file, match in own.items() if match["state"])
    yield from (file for file, match in own.items() if not match["state"])
    for file in _files(path):
        if file.name in {*FILES} - _KEPT_FILES or _is_of_a_stage(file.name):
            yield file
    for folder in (path / "pictures", *_pictures_of_steps(path)):
        yield from (file for file in _files(folder) if is_own_figure(file))
    yield from (file for file in _files(path / "tensorboard") if _EVENTS.fullmatch(file.name))
    yield from (file for file in _files(path / KEPT) if file.suffix in KEPT_SUFFIXES)
    yield from (file for file in _files(path / "adapter") if file.name in _ADAPTER)


def _is_of_a_stage(name: str) -> bool:
    """Whether a stage, or what an objective measures or predicts, writes a file of this name."""
    members = (one for group in _WRITING for one in CONFIG_GROUPS.get(group, {}).values())
    patterns = {pattern for one in members for pattern in cast("Any", one).writes}
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _pictures_of_steps(path: Path) -> list[Path]:
    """The folders with the pictures of single validations."""
    return sorted(one for one in (path / "pictures").glob("step-*") if one.is_dir())


def _files(folder: Path) -> list[Path]:
    """The files in a folder, and links to files."""
    return sorted(file for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []
