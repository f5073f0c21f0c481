"""Building without memory: on torch's meta device, which holds shapes and no numbers."""

import contextlib
import functools
import io
import sys
import warnings
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any, Final


class DownloadRefusedError(OSError):
    """Something tried to download while only shapes were needed."""


@contextlib.contextmanager
def on_meta_device() -> Generator[None]:
    """Within this block torch allocates nothing, and nothing is downloaded."""
    import torch

    said = io.StringIO()
    refused = False
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            _without_network(),
            torch.device("meta"),
        ):
            # Weights that were downloaded before are loaded into tensors without memory.
            warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter")
            yield
    except Exception as error:
        refused = was_refused(error)
        raise
    finally:
        if (
            not refused and sys.stderr is not None
        ):  # otherwise it says "Downloading …", which is not true
            sys.stderr.write(said.getvalue())


def was_refused(error: BaseException | None) -> bool:
    """Whether an error comes from a download that was refused."""
    while error is not None:
        if isinstance(error, DownloadRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False


_NETWORK: Final = frozenset({"urllib.Request", "socket.getaddrinfo"})
_refusing: Final = ContextVar("refusing", default=False)


@contextlib.contextmanager
def _without_network() -> Generator[None]:
    """Refuse every attempt to reach the network, by any library."""
    _watch_network()
    before = _refusing.set(True)
    try:
        yield
    finally:
        _refusing.reset(before)


@functools.cache  # once per process: an audit hook cannot be removed
def _watch_network() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, _arguments: Any) -> None:
    if event in _NETWORK and _refusing.get():
        raise DownloadRefusedError("nothing is downloaded to learn the size of a model")
