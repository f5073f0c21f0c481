"""A script that calls `app.main`, asked what it would run: it answers in place of running."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from runwright.cli.exit_status import DONE

if TYPE_CHECKING:
    from runwright.config import Config

_is_asked: Final = ContextVar("is_asked", default=False)


class ProgramAnswer(SystemExit):
    """Ends a script that was asked what it would run: the arguments that it gave to `main`."""

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
    """In this block `app.main` runs nothing and raises a `ProgramAnswer`: a tool asks a script."""
    before = _is_asked.set(True)
    try:
        yield
    finally:
        _is_asked.reset(before)


def is_asked() -> bool:
    """Whether a tool asks."""
    return _is_asked.get()
