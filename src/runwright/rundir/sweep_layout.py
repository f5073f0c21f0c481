"""The files that a multirun writes next to its jobs, and whether existing ones are its own.

That shows in the content of each; pictures are a sweep's own if there is a `multirun.yaml`, which
is written first.
"""

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from runwright.rundir.layout import MULTIRUN, no_folder, unfit

_PICTURES: Final = (
    *("history", "intermediate_values", "parallel_coordinates", "slices", "importances"),
    "pareto_front",
)
_FOLDERS: Final = ("pictures", "submissions")


def in_the_way_of_a_multirun(folder: Path) -> list[str]:
    """A text for everything that a multirun would destroy in a directory, or cannot write to."""
    if not folder.is_dir():
        found = no_folder(folder)
        return [f"hydra.sweep.dir={folder}: {found}. Use another directory."] if found else []
    texts = [
        f"{place} is {found}. A multirun writes there: move it away."
        for place, wanted in _places(folder)
        if (found := unfit(place, wanted)) is not None
    ]
    if texts:
        return texts
    return [
        f"hydra.sweep.dir={folder}: {name} was not written by this program, and a multirun would "
        "overwrite it. Use another directory, or move it away."
        for name in _foreign_files(folder)
    ]


def is_journal(content: bytes) -> bool:
    """Whether a file is the journal of a study, even if its first write was cut short."""
    begin = b'{"op_code"'
    return content.startswith(begin) or begin.startswith(content.strip(b"\0\n"))


def _places(folder: Path) -> Iterator[tuple[Path, int]]:
    for name in _OWN:
        yield folder / name, stat.S_IFREG
    for name in _FOLDERS:
        yield folder / name, stat.S_IFDIR
    for picture in _PICTURES:
        yield folder / "pictures" / f"{picture}.png", stat.S_IFREG


def _foreign_files(folder: Path) -> Iterator[str]:
    """The names of existing files that no multirun has written."""
    for name, is_own in _OWN.items():
        if (folder / name).exists() and not is_own(_begin(folder / name)):
            yield name
    if not (folder / MULTIRUN).exists():
        pictures = (f"pictures/{name}.png" for name in _PICTURES)
        yield from (name for name in pictures if (folder / name).exists())
    for file in sorted(folder.glob("submissions/*.json")):
        if not _is_submission(file):
            yield str(file.relative_to(folder))


def _begin(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(64)


def _begins_with(own: bytes) -> Callable[[bytes], bool]:
    """Whether a file starts with this, or this with the file: it may just be being written."""
    return lambda content: content.startswith(own) or own.startswith(content)


def _is_submission(file: Path) -> bool:
    if not file.is_file():  # reading a pipe would wait for ever
        return False
    try:
        entry: Any = json.loads(file.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(entry, dict) and {"submitted", "jobs"} <= entry.keys()


_OWN: Final[dict[str, Callable[[bytes], bool]]] = {
    MULTIRUN: _begins_with(b"hydra:\n  run:\n"),
    "study.log": is_journal,
    "optimization_results.yaml": _begins_with(b"name: optuna\n"),
}
