"""Signs of life while nothing is said for long: from a thread, so within one slow step too."""

import math
import threading
import time
from collections.abc import Callable
from typing import Final

NAME_OF_THREAD: Final = "signs of life"

# Something is said at least this often.
_SECONDS = 30.0


class SignsOfLife:
    """Calls `give` whenever nothing was said for half a minute."""

    def __init__(self, give: Callable[[], None]) -> None:
        """Begin, and call `give` in a thread until `close` is called."""
        self._give = give
        self._last = time.monotonic()
        self._closed = threading.Event()
        # A daemon: a program that ends in another way does not wait for it.
        self._thread = threading.Thread(target=self._watch, name=NAME_OF_THREAD, daemon=True)
        self._thread.start()

    def said(self) -> None:
        """Something was said just now."""
        self._last = time.monotonic()

    def close(self) -> None:
        """End the thread; nothing is said after this."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(self._last + _SECONDS - time.monotonic()):
            if time.monotonic() - self._last >= _SECONDS:
                self.said()
                self._give()


def duration(seconds: float) -> str:
    """A time as people say it: "45 s", "3 min 20 s", "5 h 12 min", "2 d 3 h"."""
    if not math.isfinite(seconds):
        return "unknown time"
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
