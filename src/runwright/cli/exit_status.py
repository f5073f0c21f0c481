"""How the program ends: what a user is told about an exception, and the exit status."""

import gc
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, TextIO

from runwright.errors import RunError, UserError

DONE: Final = 0
FAILED: Final = 1
MISTAKE: Final = 2
INTERRUPTED: Final = 130


def exit_status(command: Callable[[], int]) -> int:
    """Run a command, and say in a sentence what stopped it, if anything did.

    Args:
        command: returns its exit status if it runs to its end.

    Returns:
        The exit status. Exceptions that are bugs pass through.
    """
    try:
        try:
            return _reporting_errors(command)
        finally:
            if sys.stdout is not None:  # a closed stream, as under cron
                sys.stdout.flush()  # to notice a closed pipe here, not when Python exits
    except BrokenPipeError:
        streams = (stream for stream in (sys.stdout, sys.stderr) if stream is not None)
        unread = [stream for stream in streams if _is_unread(stream)]
        if not unread:
            raise  # from another pipe: a bug
        with Path(os.devnull).open("w") as nowhere:  # where Python writes the rest on exit
            for stream in unread:
                os.dup2(nowhere.fileno(), stream.fileno())
        return FAILED


def end_program(status: int) -> NoReturn:
    """Exit with this status, even if Ctrl-C comes while Python shuts down: all is done by then."""

    def at_once(number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        os._exit(status)

    signal.signal(signal.SIGINT, at_once)
    if not gc.isenabled():  # no job was run, so there is nothing whose end matters: do not search
        gc.freeze()  # what was imported and composed for cycles, a tenth of a start
    sys.exit(status)


def _reporting_errors(command: Callable[[], int]) -> int:
    try:
        return command()
    except UserError as error:
        print(f"{_rank_prefix()}{error}", file=sys.stderr)
        return MISTAKE
    except RunError as error:
        print(f"{_rank_prefix()}{error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def _rank_prefix() -> str:
    """Which of several processes that train together this is; empty for the main one."""
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f"Process {rank}: "


def _is_unread(stream: TextIO) -> bool:
    """Whether a stream is a pipe that nobody reads any more, as after `| head`."""
    poll = select.poll()
    poll.register(stream, 0)  # errors and hang-ups are reported in any case
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
