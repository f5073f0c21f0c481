"""A file is either the old one or the new one, never half of one."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runwright.storage.atomic_files import alias, write_bytes


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_bytes(path, b'{"old": 1}')
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from runwright.storage.atomic_files import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_bytes(Path(sys.argv[1]), b'x' * 5000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert "OSError" in done.stderr
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_threads_that_write_the_same_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    contents = [b"%d" % number for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write_bytes, [path] * len(contents), contents))
    assert 0 <= int(path.read_bytes()) < 200
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_an_alias_is_the_same_file_and_replaces_the_old_one(tmp_path: Path) -> None:
    for number in (1, 2):
        write_bytes(tmp_path / f"step-{number}", b"%d" % number)
        alias(tmp_path / f"step-{number}", tmp_path / "last")
    assert (tmp_path / "last").samefile(tmp_path / "step-2")
    assert (tmp_path / "step-1").read_bytes() == b"1"
