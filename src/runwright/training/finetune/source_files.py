"""Finding a file of weights: on this machine, or downloaded once to a cache."""

import glob
import hashlib
import logging
import os
import sys
import urllib.request
from http.client import HTTPException, HTTPMessage
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

from filelock import FileLock
from tqdm import tqdm
from typing_extensions import override

from runwright.errors import RunError, UserError, nearest
from runwright.finetune_options import is_url
from runwright.plain import home_path
from runwright.rundir.checkpoint import find_weights
from runwright.storage.atomic_files import replacing

log = logging.getLogger(__name__)

_CHUNK: Final = 1 << 20
_SECONDS: Final = 30


def local_file(checkpoint: str, option: str) -> Path:
    """The file on this machine that an option points to; of a run directory, its best weights.

    Args:
        checkpoint: a path.
        option: the full key of the option, `finetune.checkpoint`.

    Raises:
        UserError: there is none.
    """
    path = home_path(Path(checkpoint))
    try:
        return find_weights(path)
    except UserError:
        what = "it contains no weights" if path.exists() else "there is no such file"
        near = nearest(path.name, _beside(path), cutoff=0.7) if not path.exists() else None
        meant = f" Did you mean '{path.with_name(near)}'?" if near else ""
        raise UserError(
            f"{option}={checkpoint}: {what}.{meant} Give a .safetensors, .pth, .pt or .ckpt file, "
            "a run directory, or an https URL."
        ) from None


def _beside(path: Path) -> list[str]:
    try:
        return [other.name for other in path.parent.iterdir()]
    except OSError:
        return []


def fetched_file(url: str, sha256: str) -> Path | None:
    """The cached file of a URL; None if it has not been downloaded."""
    path = _cached(url, sha256)
    return path if path.exists() else None


def checked_file(checkpoint: str, sha256: str | None, option: str) -> tuple[Path, str]:
    """The file of an option, downloaded if need be, and its SHA-256, which was checked.

    Raises:
        UserError: there is no such file, or it has another SHA-256.
        RunError: it cannot be downloaded.
    """
    if is_url(checkpoint):
        assert sha256 is not None  # `SourceOptions.problems` checks that
        path = _cached(checkpoint, sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # so that one job of a sweep downloads it
            if not path.exists():
                _fetch(checkpoint, sha256, path, option)
    else:
        path = local_file(checkpoint, option)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not _agrees(digest, sha256):
        raise _wrong_file(option, path, digest, sha256)
    return path, digest


def cache_folder() -> Path:
    """Where downloaded files are kept: in `XDG_CACHE_HOME`, or else in `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "runwright"


def _cached(url: str, sha256: str) -> Path:
    name = PurePosixPath(unquote(urlsplit(url).path)).name or "weights"
    return cache_folder() / "checkpoints" / f"{sha256.lower()[:16]}-{name}"


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only: otherwise others could tamper with the file."""

    @override
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise HTTPException(f"it redirects to {newurl}, which is not an https URL")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, sha256: str, path: Path, option: str) -> None:
    """Download a file to the cache: all of it with the right SHA-256, or nothing."""
    for left in path.parent.glob(
        f".{glob.escape(path.name)}.*.tmp"
    ):  # by a process that was killed
        left.unlink()
    log.info("Downloading %s to %s.", url, path)
    digest = hashlib.sha256()
    try:
        opener = urllib.request.build_opener(_OnlyHttps())
        with opener.open(url, timeout=_SECONDS) as answer, replacing(path) as file:
            total = int(answer.headers.get("Content-Length") or 0)
            received = 0
            with _bar(path.name, total) as bar:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
                    received += len(chunk)
            _refuse_incomplete(received, total)
            if not _agrees(digest.hexdigest(), sha256):
                raise _wrong_file(option, url, digest.hexdigest(), sha256)
    except (OSError, HTTPException) as error:  # urllib's URLError is an OSError
        reason: Any = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        said = str(reason).splitlines()[0].rstrip(".")  # of a loop of redirects it is a text
        raise RunError(
            f"{option}={url} cannot be downloaded: {said}. Try again later, or download it "
            f"yourself and save it as {path}."
        ) from error


def _refuse_incomplete(received: int, total: int) -> None:
    if received < total:
        raise HTTPException(f"the connection ended after {received:,} of {total:,} bytes")


def _bar(name: str, total: int) -> "tqdm[Any]":
    is_seen = sys.stderr is not None and sys.stderr.isatty()
    return tqdm(
        desc=name, total=total or None, unit="B", unit_scale=True, leave=False, disable=not is_seen
    )


def _agrees(digest: str, sha256: str | None) -> bool:
    return sha256 is None or digest.startswith(sha256.lower())


def _wrong_file(option: str, checkpoint: str | Path, digest: str, sha256: str | None) -> UserError:
    return UserError(
        f"{option}={checkpoint} does not match {option.rpartition('.')[0]}.sha256: its SHA-256 is "
        f"{digest}, not {sha256}."
    )
