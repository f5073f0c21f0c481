"""Stopping on request: Ctrl-C and SIGTERM end a training after the step that is under way."""

import contextlib
import logging
import signal
import threading
from collections.abc import Generator
from types import FrameType, TracebackType
from typing import Final, Self

log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Within this context SIGINT and SIGTERM end the program in order, and at once.

    Within `after_the_step()` the first of them is only noted, for the loop to act on.
    """

    def __init__(self) -> None:
        """Nothing is requested yet."""
        self.signal: int | None = None
        self._noting = False
        self._before: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        """Whether the run should save a checkpoint and end."""
        return self.signal is not None

    def raise_if_requested(self) -> None:
        """End the program as the signal would have.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            SystemExit: after SIGTERM, with status 143.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(128 + self.signal)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]  # it is what signal.signal returned

    @contextlib.contextmanager
    def after_the_step(self) -> Generator[None]:
        """Note the first signal instead of ending the program."""
        self._noting = True
        try:
            yield
        finally:
            self._noting = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        again = self.requested
        self.signal = number
        if again or not self._noting:
            self.raise_if_requested()
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        log.info("%s: stopping after this step; once more stops at once.", name)
