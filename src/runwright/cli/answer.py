"""Asking a script that calls `app.main` what it would run, without running it."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from runwright.cli.exit_status import DONE

if TYPE_CHECKING:
    from runwright.config import Config

_is_asked: Final = ContextVar("is_asked", default=False)


class ProgramAnswer(SystemExit):
    """Ends a script that was asked what it would run; holds its arguments to `main`."""

    def __init__(
        self, conf: str | None, config_name: str, config: "type[Config]", factories: Sequence[str]
    ) -> None:
        super().__init__(DONE)
        self.conf = conf
        self.config_name = config_name
        self.config = config
        self.factories = tuple(factories)


@contextmanager
def asking() -> Generator[None]:
    """Within this block `app.main` runs nothing and raises a `ProgramAnswer`."""
    before = _is_asked.set(True)
    try:
        yield
    finally:
        _is_asked.reset(before)


def is_asked() -> bool:
    """Whether a tool is asking."""
    return _is_asked.get()
