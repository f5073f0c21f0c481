"""Writing files so that a crash leaves either the old one or the new one, never half of one."""

import contextlib
import os
import re
import threading
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or below it, ignoring links."""
    return path.absolute().is_relative_to(folder.absolute())


@contextlib.contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A file to write to that replaces `path` once everything is written without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_bytes(path: Path, *content: bytes | memoryview) -> None:
    """Write a file so that after a crash either the old one or the new one is intact."""
    with replacing(path) as file:
        for part in content:
            file.write(part)


def alias(target: Path, name: Path) -> None:
    """Make `name` the same file as `target`, atomically replacing what was there."""
    temporary = _temporary(name)
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(target)
    except OSError:  # a file system without hard links
        write_bytes(name, target.read_bytes())
        return
    temporary.replace(name)
    _sync_folder(name.parent)


def is_temporary(path: Path, suffix: str) -> bool:
    """Whether a file is a half-written one with this suffix that a killed process left."""
    return re.fullmatch(rf"\..+{re.escape(suffix)}\.\d+\.\d+\.tmp", path.name) is not None


def _temporary(path: Path) -> Path:
    """A name next to the file that no other process or thread uses."""
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entries to disk; without it a power cut can undo the renaming."""
    with contextlib.suppress(OSError):  # not every system or file system can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
