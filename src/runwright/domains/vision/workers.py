"""Work on many small items with all cores, in processes that import nothing they do not need.

The processes are started as `python -m <module>`, not by forking or by `multiprocessing`: they
inherit neither threads nor CUDA contexts, they never import the user's script (and with it torch),
and when this process dies, however it dies, their next report fails and they end too.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from runwright.errors import RunError

log = logging.getLogger(__name__)

# Small enough for a lively progress bar and an even load, large enough to write in one go.
_CHUNK: Final = 32
# Reports of several processes go through one pipe; lines up to this length do not mix.
_LONGEST_REPORT: Final = 600


class WorkerError(Exception):
    """The operating system refused something to a worker, space on the disk for example."""


def num_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def work_in_processes(
    module: str, job: Mapping[str, Any], *, num_items: int, title: str
) -> dict[int, str]:
    """Have `num_items` items worked on by as many processes as there are cores.

    Args:
        module: what the processes run; it ends in a call of `serve`.
        job: what they need to know, as JSON can hold it.
        num_items: how many items there are.
        title: what the log and the progress bar call the work.

    Returns:
        What there is to say of an item, by the item's number.

    Raises:
        WorkerError: the operating system refused something to a process.
        RunError: a process was killed or failed.
    """
    num_processes = max(1, min(num_cores(), -(-num_items // _CHUNK)))
    plural = "" if num_processes == 1 else "es"
    log.info("%s (%d process%s) …", title, num_processes, plural)
    started = time.monotonic()
    messages: dict[int, str] = {}
    errors: list[str] = []
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        path = Path(scratch) / "job.json"
        path.write_text(json.dumps({**job, "num_items": num_items, "step": num_processes}))
        reading, writing = os.pipe()
        reports = running.enter_context(os.fdopen(reading, encoding="utf-8"))
        try:
            processes = [
                running.enter_context(_process(module, path, shard, writing))
                for shard in range(num_processes)
            ]
        finally:
            os.close(writing)
        bar = running.enter_context(
            tqdm(total=num_items, desc=title, unit="image", disable=not sys.stderr.isatty())
        )
        for line in reports:  # ends when the last process does
            report = json.loads(line)
            if "error" in report:
                errors.append(report["error"])
            elif "item" in report:
                messages[report["item"]] = report["message"]
            else:
                bar.update(report["done"])
        statuses = [process.wait() for process in processes]
    if errors:
        raise WorkerError(errors[0])
    if failed := [status for status in statuses if status]:
        raise RunError(f"{title}: {_death(failed[0])}")
    log.info("%s: done in %.1f s.", title, time.monotonic() - started)
    return messages


def serve(work: Callable[[Mapping[str, Any], range], Mapping[int, str]]) -> None:
    """Be a process of `work_in_processes`: do every so-many-th chunk of the items.

    Args:
        work: works on items with these numbers, and returns what there is to say of them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    shard, num_items = int(sys.argv[2]), job["num_items"]
    try:
        for first in range(shard * _CHUNK, num_items, job["step"] * _CHUNK):
            items = range(first, min(first + _CHUNK, num_items))
            for item, message in work(job, items).items():
                _report(item=item, message=message[:_LONGEST_REPORT])
            _report(done=len(items))
    except BrokenPipeError:
        sys.exit(1)  # the parent is gone
    except OSError as error:
        _report(error=str(error)[:_LONGEST_REPORT])
        sys.exit(1)


def _report(**report: object) -> None:
    os.write(sys.stdout.fileno(), json.dumps(report).encode() + b"\n")


@contextlib.contextmanager
def _process(
    module: str, job: Path, shard: int, reports: int
) -> "Generator[subprocess.Popen[bytes]]":
    """A running process that is ended with the context."""
    # The package may have been found by a path that only this process knows.
    search_path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    environment = {**os.environ, "PYTHONPATH": search_path}
    command = [sys.executable, "-P", "-m", module, str(job), str(shard)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=reports, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _death(status: int) -> str:
    if status > 0:
        return f"a process failed with status {status}; its error stands above."
    name = signal.Signals(-status).name
    hint = " Was there too little memory?" if -status == signal.SIGKILL else ""
    return f"a process was ended by {name}.{hint}"
