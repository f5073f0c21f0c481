"""CelebA, on simulated images: labels, splits, the cache, the batches, and the error messages."""

import logging
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from torchvision import transforms

from runwright import UserError, compose
from runwright.batching import InMemory
from runwright.data import Data
from runwright.factory import OptionError
from runwright.runtime import Runtime
from runwright.vision.batch import ImageBatch
from runwright.vision.celeba_attributes import CelebAttr
from runwright.vision.celeba_layout import HOMEPAGE, read_attributes, read_partition
from runwright.vision.decoding import decode_image
from runwright.vision.dims import ImageDims
from runwright.vision.factories import CelebADataModule
from runwright.vision.mapped import MappedImages, normalize
from runwright.vision.simulate import simulate_celeba
from runwright.vision.workers import WorkerError, work_in_processes

NUM_IMAGES = 150
RES = 16
Faces = Data[ImageDims, ImageBatch]


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `root` with simulated faces, and no cache; not to be written to."""
    root = tmp_path_factory.mktemp("faces")
    simulate_celeba(root, num_images=NUM_IMAGES, seed=0, correlation=0.5)
    return root


@pytest.fixture
def root(simulated: Path, tmp_path: Path) -> Path:
    """A copy of the faces that a test may change."""
    return shutil.copytree(simulated, tmp_path / "root")


@pytest.fixture
def faces(root: Path) -> Faces:
    return build(root)


def build(root: Path, *, seed: int = 3, **options: object) -> Faces:
    chosen = {"default_res": RES, "batch_size": 20, **options}
    module = CelebADataModule(root=root, **chosen)  # pyright: ignore[reportArgumentType]  # checked by the class
    return module.build(Runtime(device=torch.device("cpu"), seed=seed, run_dir=root))


def mapped(split: object) -> MappedImages:
    assert isinstance(split, MappedImages)
    return split


def all_parts(data: Faces) -> dict[str, MappedImages]:
    return {name: mapped(getattr(data, name)) for name in ("train", "val", "test")}


def images_folder(root: Path) -> Path:
    return root / "celeba" / "img_align_celeba"


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("image-batches")]


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


# --- labels and splits ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("superclass", "subclass"),
    [
        (CelebAttr.SMILING, CelebAttr.MALE),
        (CelebAttr.BLOND, CelebAttr.MALE),
        (CelebAttr.FIVE_O_CLOCK_SHADOW, CelebAttr.YOUNG),
    ],
)
def test_labels_and_groups_are_what_the_attribute_file_says(
    root: Path, superclass: CelebAttr, subclass: CelebAttr
) -> None:
    lines = (root / "celeba" / "list_attr_celeba.txt").read_text().splitlines()
    columns = lines[1].split()
    said = {
        line.split()[0]: tuple(
            int(line.split()[1 + columns.index(attribute.value)]) == 1
            for attribute in (superclass, subclass)
        )
        for line in lines[2:]
    }
    part_of = dict(
        line.split() for line in (root / "celeba/list_eval_partition.txt").read_text().splitlines()
    )
    data = build(root, superclass=superclass, subclass=subclass)
    assert data.dims == ImageDims(channels=3, height=RES, width=RES, num_classes=2, num_groups=4)
    for part, split in enumerate(all_parts(data).values()):
        names = [name for name in said if part_of[name] == str(part)]
        expected = [said[name] for name in names]
        batch = split.gather(torch.arange(len(split)))
        assert batch.label.tolist() == [int(label) for label, _ in expected]
        assert batch.group.tolist() == [2 * label + group for label, group in expected]
        for image, name in zip(batch.image, names, strict=True):
            assert np.array_equal(image.numpy(), decode_image(images_folder(root) / name, RES))


def test_the_random_split_has_the_official_sizes_and_follows_its_seed(root: Path) -> None:
    official = {name: part.rows.tolist() for name, part in all_parts(build(root)).items()}
    one, again, other = (
        {name: part.rows.tolist() for name, part in all_parts(build(root, split_seed=s)).items()}
        for s in (0, 0, 1)
    )
    assert one == again
    assert one not in (official, other)
    for split in (official, one, other):
        assert [len(rows) for rows in split.values()] == [len(r) for r in official.values()]
        assert sorted(row for rows in split.values() for row in rows) == list(range(NUM_IMAGES))


def test_parts_without_images_are_left_out(root: Path) -> None:
    edit(
        root / "celeba" / "list_eval_partition.txt",
        lambda lines: [f"{line.split()[0]} 0" for line in lines],
    )
    data = build(root)
    assert len(data.train) == NUM_IMAGES
    assert data.val is None
    assert data.test is None


def test_alias_and_names_on_the_command_line(repository: Path) -> None:
    config = compose(
        ["dm=celeba", "dm.superclass=BLOND", "dm.subclass=MALE"], conf=repository / "conf"
    )
    assert isinstance(config.dm, CelebADataModule)
    assert config.dm.superclass is CelebAttr.BLOND_HAIR
    assert len(CelebAttr) == 40


def test_superclass_and_subclass_must_differ() -> None:
    with pytest.raises(OptionError, match="superclass and subclass must differ, both are BLOND"):
        CelebADataModule(superclass=CelebAttr.BLOND, subclass=CelebAttr.BLOND_HAIR)


@pytest.mark.parametrize(
    ("choice", "superclass", "res"),
    [
        ("celeba_male_smiling", CelebAttr.SMILING, 224),
        ("celeba_male_blond", CelebAttr.BLOND_HAIR, 224),
        ("celeba_male_smiling_small", CelebAttr.SMILING, 64),
    ],
)
def test_stored_configurations(
    repository: Path, choice: str, superclass: CelebAttr, res: int
) -> None:
    config = compose([f"dm={choice}"], conf=repository / "conf")
    assert config.dm == CelebADataModule(
        superclass=superclass, subclass=CelebAttr.MALE, default_res=res
    )


# --- decoding and the cache ----------------------------------------------------------------------


@pytest.mark.parametrize("res", [16, 33, 64, 224])
@pytest.mark.parametrize("size", [(178, 218), (300, 200), (97, 97)])
def test_pixels_are_those_of_torchvisions_resize_and_crop(
    tmp_path: Path, size: tuple[int, int], res: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    resize = transforms.Compose([transforms.Resize(res), transforms.CenterCrop(res)])
    expected = np.asarray(resize(Image.fromarray(noise))).transpose(2, 0, 1)
    assert np.array_equal(decode_image(tmp_path / "noise.png", res), expected)


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


def test_the_cache_may_lie_elsewhere(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "scratch" / "cache"
    build(root, cache_dir=elsewhere)
    assert len(list(elsewhere.glob("*.npy"))) == 1
    assert not (root / "celeba" / "cache").exists()


def test_simulated_images_are_announced(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    build(root)
    assert "are simulated: cartoon faces, not CelebA" in caplog.text
    caplog.clear()
    (root / "celeba" / "SIMULATED.txt").unlink()
    build(root)
    assert "simulated" not in caplog.text


_BUILD = """
import sys, torch, logging
from pathlib import Path
from runwright.runtime import Runtime
from runwright.vision.factories import CelebADataModule
logging.basicConfig(level=logging.INFO)
root = Path(sys.argv[1])
runtime = Runtime(device=torch.device("cpu"), seed=0, run_dir=root)
CelebADataModule(root=root, default_res=int(sys.argv[2]), batch_size=8).build(runtime)
"""


def start_build(root: Path, res: int) -> "subprocess.Popen[str]":
    """Build in another process, as a script without `if __name__ == "__main__"`."""
    return subprocess.Popen(
        [sys.executable, "-c", _BUILD, str(root), str(res)], stderr=subprocess.PIPE, text=True
    )


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def half_decoded(cache: Path) -> Path:
    """Wait until the first images of an array have been written; return where."""
    wait_for(lambda: any(path.stat().st_blocks > 100 for path in cache.glob("*.partial")))
    return next(cache.glob("*.partial")).resolve()


def workers_of(array: Path) -> Iterator[int]:
    """The processes that have the array open or were started to fill it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"runwright.vision.decoding" in command:
                job = Path(command[command.index(b"runwright.vision.decoding") + 1].decode())
                if not job.exists() or str(array) in job.read_text():
                    yield int(process.name)
        except (OSError, ValueError):
            continue


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_a_kill_while_decoding_leaves_nothing_that_is_taken_for_whole(root: Path) -> None:
    cache = root / "celeba" / "cache"
    process = start_build(root, 448)
    partial = half_decoded(cache)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(cache.glob("*.npy"))
    assert partial.exists()
    wait_for(lambda: not any(workers_of(partial)), seconds=20)
    process.communicate()

    data = build(root, default_res=448)
    name = sorted(path.name for path in images_folder(root).iterdir())
    for row in (0, 77, NUM_IMAGES - 1):
        expected = decode_image(images_folder(root) / name[row], 448)
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
    assert sum("process" in text and "Decoding" in text for text in said) == 1
    assert len(list((root / "celeba" / "cache").glob("*.npy"))) == 1


def test_ctrl_c_ends_the_workers_too(root: Path) -> None:
    cache = root / "celeba" / "cache"
    process = start_build(root, 448)
    partial = half_decoded(cache)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not list(cache.glob("*.npy"))
    assert not list(cache.glob("*.partial"))
    assert not any(workers_of(partial))


# --- what is said when something is wrong --------------------------------------------------------


def test_missing_data_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        build(tmp_path / "nowhere")
    text = str(error.value)
    assert str((tmp_path / "nowhere" / "celeba").resolve()) in text
    for expected in (
        "missing list_attr_celeba.txt",
        "missing list_eval_partition.txt",
        "missing img_align_celeba/",
        "202,599 images",
        HOMEPAGE,
        "dm.download=true",
        f"python -m runwright simulate celeba --root {tmp_path / 'nowhere'}",
    ):
        assert expected in text


def test_an_archive_that_was_not_unpacked_is_noticed(root: Path) -> None:
    shutil.rmtree(images_folder(root))
    archive = root / "celeba" / "img_align_celeba.zip"
    archive.touch()
    with pytest.raises(UserError) as error:
        build(root)
    assert "found   list_attr_celeba.txt" in str(error.value)
    assert f"unzip {archive} -d {root / 'celeba'}" in str(error.value)


def test_a_download_that_fails_names_the_page(tmp_path: Path) -> None:
    try:
        import gdown  # noqa: F401  # pyright: ignore[reportMissingImports,reportUnusedImport]
    except ModuleNotFoundError:
        pass
    else:
        pytest.skip("with gdown this would download 1.4 GB")
    with pytest.raises(UserError, match=r"dm.download=true: CelebA could not be fetched") as error:
        build(tmp_path, download=True)
    assert "gdown" in str(error.value)
    assert HOMEPAGE in str(error.value)
    # Nothing is left that would keep the user from simulating instead.
    simulate_celeba(tmp_path, num_images=3, seed=0, correlation=0.5)


def test_download_leaves_alone_what_is_there(root: Path) -> None:
    assert len(build(root, download=True).train) > 0


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


def test_missing_images_are_named(root: Path) -> None:
    (images_folder(root) / "000007.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of the 150 images .* not in .*: 000007.jpg"):
        build(root)


def test_images_that_are_not_listed_are_named(root: Path) -> None:
    shutil.copy(images_folder(root) / "000001.jpg", images_folder(root) / "000999.jpg")
    with pytest.raises(UserError, match=r"are not listed in .*000999.jpg.*releases"):
        build(root)


ATTRIBUTES_BROKEN: dict[str, Callable[[list[str]], list[str]]] = {
    "announces 150 images and lists 98": lambda lines: lines[:100],
    "should begin with the number of images": lambda lines: lines[1:],
    "should begin with the number": lambda _: [""],
    "names 39 attributes and lacks Smiling": lambda lines: [
        lines[0],
        lines[1].replace("Smiling ", ""),
        *lines[2:],
    ],
    "line 152 should be the name of another": lambda lines: [*lines[:-1], lines[-1][:-3]],
    "line 152 should be the name of": lambda lines: [*lines[:-1], lines[-2]],
    "line 4 has": lambda lines: [*lines[:3], lines[3].replace(" 1", " 7"), *lines[4:]],
}


@pytest.mark.parametrize("text", list(ATTRIBUTES_BROKEN))
def test_a_broken_attribute_file_is_explained(root: Path, text: str) -> None:
    path = root / "celeba" / "list_attr_celeba.txt"
    edit(path, ATTRIBUTES_BROKEN[text])
    with pytest.raises(UserError) as error:
        build(root, superclass=CelebAttr.NO_BEARD)
    assert text in str(error.value)
    assert str(path) in str(error.value)
    assert HOMEPAGE in str(error.value)


PARTITION_BROKEN: dict[str, Callable[[list[str]], list[str]]] = {
    "lists 149 images and .* 150; 1 are in one of them only": lambda lines: lines[:-1],
    "line 150 should be the name of an image": lambda lines: [*lines[:-1], "000150.jpg 3"],
}


@pytest.mark.parametrize("text", list(PARTITION_BROKEN))
def test_a_broken_partition_is_explained(root: Path, text: str) -> None:
    edit(root / "celeba" / "list_eval_partition.txt", PARTITION_BROKEN[text])
    with pytest.raises(UserError, match=text):
        build(root)


def test_a_file_that_is_no_text_is_explained(root: Path) -> None:
    (root / "celeba" / "list_attr_celeba.txt").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match=r"list_attr_celeba.txt cannot be read"):
        build(root)


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full_for_a_worker_is_an_error(root: Path) -> None:
    names = sorted(path.name for path in images_folder(root).iterdir())
    job = {"folder": str(images_folder(root)), "names": names, "res": 64, "offset": 0}
    with pytest.raises(WorkerError, match="No space left on device"):
        work_in_processes(
            "runwright.vision.decoding",
            {**job, "array": "/dev/full"},
            num_items=NUM_IMAGES,
            title="Decoding",
        )


def test_a_cache_that_cannot_be_written_is_explained(root: Path) -> None:
    (root / "celeba" / "cache").touch()
    with pytest.raises(UserError, match=r"cannot be kept in .*cache.*dm.cache_dir="):
        build(root)


def test_a_damaged_cache_is_explained(root: Path) -> None:
    build(root)
    path = next((root / "celeba" / "cache").glob("*.npy"))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"is damaged: .*Delete it; it will be made anew"):
        build(root)


def test_a_batch_larger_than_the_training_data_is_refused(root: Path) -> None:
    count = len(build(root).train)
    with pytest.raises(UserError, match=rf"has {count} images.*Use dm.batch_size={count} or less"):
        build(root, batch_size=count + 1)
    assert build(root, batch_size=count).train.num_batches == 1


# --- batches -------------------------------------------------------------------------------------


def in_memory(split: MappedImages, shuffle_seed: int | None) -> InMemory[ImageBatch]:
    images = torch.from_numpy(np.array(split.images[split.rows]))
    examples = ImageBatch(
        image=normalize(images),
        label=torch.as_tensor(split.labels),
        group=torch.as_tensor(split.groups),
    )
    return InMemory(examples, batch_size=split.batch_size, shuffle_seed=shuffle_seed)


def assert_equal(ours: list[ImageBatch], theirs: list[ImageBatch]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.label, other.label)
        assert torch.equal(one.group, other.group)


@pytest.mark.parametrize("epoch", [0, 1, 7])
@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_training_batches_equal_those_from_memory(faces: Faces, epoch: int, start: int) -> None:
    split = mapped(faces.train)
    reference = in_memory(split, shuffle_seed=3)
    assert split.num_batches == reference.num_batches == 4  # the last, smaller one is dropped
    ours = list(split.batches(epoch, start))
    assert_equal(ours, list(reference.batches(epoch, start)))
    assert len(ours) == 4 - start


def test_evaluation_batches_equal_those_from_memory(root: Path) -> None:
    split = mapped(build(root).val)
    split.batch_size = len(split) // 3 - 1
    ours = list(split.batches(epoch=0))
    assert_equal(ours, list(in_memory(split, shuffle_seed=None).batches(epoch=0)))
    assert sum(len(batch) for batch in ours) == len(split)
    assert 0 < len(ours[-1]) < len(ours[0])


def test_images_are_normalised(faces: Faces) -> None:
    batch = next(iter(faces.train.batches(0)))
    assert batch.image.dtype == torch.float32
    assert batch.image.shape == (20, 3, RES, RES)
    assert -1 <= float(batch.image.min()) < -0.5
    assert 0.5 < float(batch.image.max()) <= 1
    levels = normalize(torch.tensor([0, 128, 255], dtype=torch.uint8))
    assert levels.tolist() == pytest.approx([-1.0, 128 / 127.5 - 1, 1.0], abs=1e-6)


def test_the_order_depends_on_seed_and_epoch_only(root: Path) -> None:
    def groups(seed: int, epoch: int) -> list[list[int]]:
        split = build(root, seed=seed, superclass=CelebAttr.YOUNG).train
        return [batch.group.tolist() for batch in split.batches(epoch)]

    assert groups(0, 0) == groups(0, 0)
    assert groups(0, 0) != groups(0, 1)
    assert groups(0, 0) != groups(1, 0)


def test_an_iterator_that_is_closed_early_leaves_no_thread(faces: Faces) -> None:
    assert not threads()
    batches = faces.train.batches(0)
    next(batches)
    assert len(threads()) == 1
    batches.close()  # pyright: ignore[reportAttributeAccessIssue]  # it is a generator
    assert not threads()
    batches = faces.train.batches(0)
    next(batches)
    del batches  # what the training loop does at the end of an epoch
    assert not threads()


def test_an_iterator_that_ends_leaves_no_thread(faces: Faces) -> None:
    assert len(list(faces.train.batches(0))) == 4
    assert not threads()


def test_errors_of_the_background_thread_reach_the_consumer(faces: Faces) -> None:
    split = mapped(faces.train)
    split.labels = split.labels[:5]
    with pytest.raises(IndexError):
        next(split.batches(0))
    assert not threads()


def test_examples_are_drawn(faces: Faces, tmp_path: Path) -> None:
    assert faces.draw_examples is not None
    path = tmp_path / "pictures" / "examples.png"
    faces.draw_examples(path)
    with Image.open(path) as image:
        assert min(image.size) > 100


# --- the whole path ------------------------------------------------------------------------------


def test_a_run_from_jpeg_to_worst_group_accuracy(
    repository: Path, root: Path, tmp_path: Path
) -> None:
    config = compose(
        [
            "+experiment=good_run",
            f"dm.root={root}",
            "dm.default_res=16",
            "dm.batch_size=30",
            "training.epochs=2",
            "gpu=-1",
        ],
        conf=repository / "conf",
    )
    value = config.run(tmp_path / "run")
    assert 0.3 < value <= 1
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert "val_worst_group_accuracy" in header
    assert (tmp_path / "run" / "pictures" / "training_examples.png").exists()


def test_read_functions_agree_with_each_other(root: Path) -> None:
    names, values = read_attributes(root / "celeba", [CelebAttr.MALE])
    assert values.shape == (NUM_IMAGES, 1)
    assert len(read_partition(root / "celeba", names)) == NUM_IMAGES
    assert sorted(path.name for path in images_folder(root).iterdir()) == names
