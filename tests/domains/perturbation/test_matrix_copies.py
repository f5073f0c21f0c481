"""Copies of what is compressed: made once, and named where they cannot be made or read."""

import logging
import re
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from domains.perturbation.test_rows import WANTED, dense, written
from programs import run_python
from runwright import UserError
from runwright.domains.perturbation.rows import open_rows


def test_what_is_compressed_is_copied_once_and_anew_when_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path, copies = tmp_path / "a.h5ad", tmp_path / "copies"
    written(path, "gzip")
    for _ in range(2):
        open_rows(path, "X", None, copies)
    assert len(list(copies.glob("*.npy"))) == 2  # the values and their columns
    assert [r.getMessage() for r in caplog.records if "Copying it to" in r.getMessage()] == [
        f"a.h5ad: /X/{part} is compressed or in chunks. Copying it to {copies} (0.00 GiB) …"
        for part in ("data", "indices")
    ]
    expected = written(path, "dense gzip")
    found = open_rows(path, "X", None, copies).read(WANTED)
    np.testing.assert_array_equal(dense(found), expected[WANTED])


def test_a_damaged_copy_is_named(tmp_path: Path) -> None:
    written(tmp_path / "a.h5ad", "dense gzip")
    open_rows(tmp_path / "a.h5ad", "X", None, tmp_path / "copies")
    (copy,) = (tmp_path / "copies").glob("*.npy")
    copy.write_bytes(copy.read_bytes()[:100])
    with pytest.raises(UserError, match=r"is damaged: .*Delete it; it will be made again"):
        open_rows(tmp_path / "a.h5ad", "X", None, tmp_path / "copies")


def test_a_compressed_file_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    written(path, "dense gzip")
    with h5py.File(path) as file:
        chunk: Any = file["X"].id.get_chunk_info(0)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    with pytest.raises(UserError, match=r"a.h5ad: /X cannot be read: .* The file is damaged"):
        open_rows(path, "X", None, tmp_path / "copies")
    assert not list((tmp_path / "copies").glob("*.npy"))


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="files cannot be limited here")
def test_a_copy_for_which_there_is_no_room_is_told_with_the_way_out(tmp_path: Path) -> None:
    written(tmp_path / "a.h5ad", "dense gzip")
    code = (
        "import pathlib, resource, signal, sys\n"
        "from runwright import UserError\n"
        "from runwright.domains.perturbation.rows import open_rows\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "try: open_rows(folder / 'a.h5ad', 'X', None, folder / 'copies')\n"
        "except UserError as error: print(error)\n"
    )
    done = run_python("-c", code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r".*a.h5ad: /X is compressed or in chunks, and its copy of 0.00 GiB, from which "
        r"single cells can be read, cannot be kept in .*copies: .*File too large.*\. Choose "
        r"another folder with dm.cache_dir=…, make room, or write the file without compression\.\n",
        done.stdout,
    )
    assert not [path for path in (tmp_path / "copies").iterdir() if path.suffix != ".lock"]
