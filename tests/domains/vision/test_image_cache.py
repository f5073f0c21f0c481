"""The cache: decoded once, never mistaken for complete, and clear about what is wrong."""

import logging
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from domains.vision.faces import NUM_IMAGES, RES, build, images_folder, mapped
from programs import Program, start_python
from runwright import UserError
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.decoding import pixels_of
from runwright.factory import OptionError


def decodings(caplog: pytest.LogCaptureFixture) -> int:
    return sum("Decoding" in r.message and r.message.endswith("…") for r in caplog.records)


def test_images_are_decoded_once(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    build(root)
    assert decodings(caplog) == 1
    build(root, seed=9, superclass=CelebAttr.YOUNG, split_seed=4)
    assert decodings(caplog) == 1
    assert len(list((root / "celeba" / "cache").glob("*.npy"))) == 1
    assert not list((root / "celeba" / "cache").glob("*.partial"))


def test_another_resolution_is_decoded_anew(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    build(root)
    assert mapped(build(root, default_res=24).train).images.shape[-1] == 24
    assert decodings(caplog) == 2
    assert mapped(build(root).train).images.shape[-1] == RES
    assert decodings(caplog) == 2


def test_a_changed_image_is_decoded_anew(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = mapped(build(root).train).images[0].copy()
    Image.new("RGB", (178, 218), "red").save(images_folder(root) / "000001.jpg")
    after = mapped(build(root).train).images[0]
    assert decodings(caplog) == 2
    assert not np.array_equal(before, after)
    assert after[0].min() > 250
    assert after[1:].max() < 5


def test_a_new_cache_says_how_large_it_is_and_which_older_ones_may_go(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cache = root / "celeba" / "cache"
    build(root, default_res=64)
    (first,) = cache.glob("*.npy")
    assert f"The decoded images are kept in {first} (1.8 MiB)." in caplog.messages
    (cache / "of-someone-else.npy").touch()
    caplog.clear()
    build(root, default_res=32)
    (said,) = [message for message in caplog.messages if "are kept in" in message]
    assert "(0.4 MiB). Older ones next to it may be deleted" in said
    assert said.splitlines()[1:] == [f"  {first.name}  1.8 MiB"]
    assert first.exists()
    caplog.clear()
    build(root, default_res=64)
    assert "kept in" not in caplog.text


def test_the_cache_may_lie_elsewhere(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "scratch" / "cache"
    build(root, cache_dir=elsewhere)
    assert len(list(elsewhere.glob("*.npy"))) == 1
    assert not (root / "celeba" / "cache").exists()


_BUILD = """
import sys, torch, logging
from pathlib import Path
from runwright.device.runtime import Runtime
from runwright.domains.vision.celeba import CelebADataModule
logging.basicConfig(level=logging.INFO)
root = Path(sys.argv[1])
runtime = Runtime(device=torch.device("cpu"), seed=0, run_dir=root)
CelebADataModule(root=root, default_res=int(sys.argv[2]), batch_size=8).build(runtime)
"""


def start_build(root: Path, res: int) -> Program:
    """Build in another process, as a script without `if __name__ == "__main__"`."""
    return start_python("-c", _BUILD, root, str(res), stderr=subprocess.PIPE)


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def half_decoded(cache: Path) -> Path:
    """Wait until the first images of an array have been written; return where."""
    wait_for(lambda: any(path.stat().st_blocks > 100 for path in cache.glob("*.partial")))
    return next(cache.glob("*.partial")).resolve()


def test_a_kill_while_decoding_leaves_nothing_that_is_taken_for_whole(root: Path) -> None:
    cache = root / "celeba" / "cache"
    process = start_build(root, 448)
    partial = half_decoded(cache)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(cache.glob("*.npy"))
    assert partial.exists()
    process.communicate()

    data = build(root, default_res=448)
    name = sorted(path.name for path in images_folder(root).iterdir())
    for row in (0, 77, NUM_IMAGES - 1):
        expected = pixels_of(Image.open(images_folder(root) / name[row]), (3, 448, 448))
        assert np.array_equal(mapped(data.train).images[row], expected)
    assert not list(cache.glob("*.partial"))


def test_leftovers_of_other_resolutions_are_removed_unless_in_use(root: Path) -> None:
    cache = root / "celeba" / "cache"
    cache.mkdir()
    (cache / "99px-dead.partial").write_bytes(b"left by a killed process")
    (cache / "98px-alive.partial").write_bytes(b"being written")
    with FileLock(cache / "98px-alive.lock"):
        build(root)
    assert [path.name for path in cache.glob("*.partial")] == ["98px-alive.partial"]


def test_parallel_jobs_decode_once(root: Path) -> None:
    jobs = [start_build(root, 48) for _ in range(3)]
    said = [job.communicate(timeout=120)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0]
    assert sum("Decoding" in text for text in said) == 1
    assert len(list((root / "celeba" / "cache").glob("*.npy"))) == 1


def test_ctrl_c_ends_the_decoding(root: Path) -> None:
    cache = root / "celeba" / "cache"
    process = start_build(root, 448)
    half_decoded(cache)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not list(cache.glob("*.npy"))
    assert not list(cache.glob("*.partial"))


def test_broken_images_are_all_named(root: Path) -> None:
    (images_folder(root) / "000002.jpg").write_bytes(b"")
    whole = (images_folder(root) / "000140.jpg").read_bytes()
    (images_folder(root) / "000140.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError) as error:
        build(root)
    text = str(error.value)
    assert f"2 of the {NUM_IMAGES} images in {images_folder(root)} are broken" in text
    assert "000002.jpg: cannot identify image file" in text
    assert "000140.jpg: image file is truncated" in text
    assert not list((root / "celeba" / "cache").glob("*.npy"))
    assert not list((root / "celeba" / "cache").glob("*.partial"))


def test_of_many_broken_images_ten_are_shown(root: Path) -> None:
    for number in range(1, 41):
        (images_folder(root) / f"{number:06d}.jpg").write_bytes(b"not a picture")
    with pytest.raises(UserError) as error:
        build(root)
    text = str(error.value)
    assert "40 of the" in text
    assert "000010.jpg" in text
    assert "000011.jpg" not in text
    assert "… and 30 more" in text


def test_too_little_room_is_noticed_before_decoding(root: Path) -> None:
    free = shutil.disk_usage(root).free
    res = 8 * int(np.ceil(np.sqrt(free / NUM_IMAGES / 3) / 8 + 1))
    with pytest.raises(UserError, match=r"\d GiB, cannot be kept in .*cache: only .* GiB are free"):
        build(root, default_res=res)
    assert not list((root / "celeba" / "cache").glob("*.partial"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_explained(root: Path) -> None:
    build(root)
    cached = next((root / "celeba" / "cache").glob("*.npy"))
    cached.unlink()
    cached.with_suffix(".partial").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"GiB, cannot be kept in .*No space left.*dm.cache_dir"):
        build(root)
    assert not list((root / "celeba" / "cache").glob("*.partial"))


def test_a_cache_that_cannot_be_written_is_explained(root: Path) -> None:
    (root / "celeba" / "cache").touch()
    with pytest.raises(UserError, match=r"cannot be kept in .*cache.*dm.cache_dir="):
        build(root)


def test_a_damaged_cache_is_explained(root: Path) -> None:
    build(root)
    path = next((root / "celeba" / "cache").glob("*.npy"))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"is damaged: .*Delete it; it will be made again"):
        build(root)


@pytest.mark.parametrize("res", [3_000_000_000, 2**63 - 1])
def test_images_beyond_all_memory_are_refused_with_their_size(root: Path, res: int) -> None:
    with pytest.raises(OptionError, match=r"default_res=\d+ makes every image [\d,]+ GiB"):
        build(root, default_res=res)
