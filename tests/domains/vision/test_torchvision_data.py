"""Torchvision's data sets: read, kept, divided, and clear about what is wrong."""

import contextlib
import functools
import gzip
import logging
import threading
from collections.abc import Generator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets
from torchvision.datasets.utils import calculate_md5
from typing_extensions import override

from conftest import Run
from domains.vision.files_of_images import (
    Images,
    build,
    colored,
    module,
    some_digits,
    write_cifar10,
    write_mnist,
    write_svhn,
)
from runwright import UserError
from runwright.domains.vision.device_images import DeviceImages
from runwright.domains.vision.image_data import ImageDataModule
from runwright.domains.vision.mapped import MappedImages
from runwright.domains.vision.torchvision_sets import SETS
from runwright.factory import OptionError


def rows(data: Images, split: str) -> list[int]:
    chosen = getattr(data, split)
    assert isinstance(chosen, MappedImages)
    return chosen.rows.tolist()


@contextlib.contextmanager
def served(folder: Path) -> Generator[str]:
    """The address at which this machine serves a folder."""

    class Quiet(SimpleHTTPRequestHandler):
        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def test_each_name_is_a_class_of_torchvision() -> None:
    assert [name for name in SETS if not hasattr(datasets, name)] == []


def test_mnist_is_read_from_its_files(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    data = build("torchvision", name="MNIST", root=tmp_path, val_prop=0.25)
    assert (len(data.train), len(data.val or ()), len(data.test or ())) == (150, 50, 100)
    assert data.dims == module("torchvision", name="MNIST").expected_dims()
    assert data.dims.class_names is not None
    assert data.dims.class_names[3] == "3 - three"
    assert data.test is not None
    batch = next(iter(data.test.batches(0)))
    expected = some_digits(10, 20)
    assert batch.label.tolist() == expected.digits.tolist()
    pixels = torch.from_numpy(expected.images)[:, None].float() / 127.5 - 1
    torch.testing.assert_close(batch.image, pixels)


def test_cifar10_is_read_and_normalised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = write_cifar10(tmp_path, monkeypatch)
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.4, 0.3]
    data = build("torchvision", root=tmp_path, val_prop=0.0, mean=mean, std=std)
    assert data.val is None
    assert data.dims.class_name(9) == "truck"
    assert isinstance(data.train, MappedImages)
    order = np.argsort(np.concatenate([np.arange(100)[number::5] for number in range(5)]))
    assert np.array_equal(data.train.images[:100][order], colored(some))
    assert np.array_equal(data.train.labels[:100][order], some.digits)
    batch = next(iter(data.train.batches(0)))
    channel = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    back = batch.image * torch.tensor(std)[:, None, None] + channel
    assert float(back.min() + 1e-6) >= 0
    assert float(back.max()) < 1 + 1e-6


def test_svhn_has_a_class_for_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = write_svhn(tmp_path, monkeypatch)
    data = build("torchvision", name="SVHN", root=tmp_path, groups="class", batch_size=8)
    assert data.dims.num_groups == 10
    assert data.dims.group_name(0) == "0"
    assert data.test is not None
    (batch,) = data.test.batches(0)
    assert batch.label.tolist() == batch.group.tolist() == some.digits.tolist()


def test_it_is_decoded_once_and_torchvision_is_not_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    write_mnist(tmp_path)
    first = build("torchvision", name="MNIST", root=tmp_path)
    assert caplog.text.count("done in") == 1
    monkeypatch.delattr(datasets, "MNIST")
    second = build("torchvision", name="MNIST", root=tmp_path, val_prop=0.2)
    assert caplog.text.count("done in") == 1
    assert second.dims.class_names == first.dims.class_names
    labels = tmp_path / "cache"
    next(labels.glob("*.json")).unlink()  # as a kill right after the decoding leaves it
    monkeypatch.undo()
    third = build("torchvision", name="MNIST", root=tmp_path)
    assert caplog.text.count("done in") == 1
    assert isinstance(third.train, MappedImages)
    assert isinstance(first.train, MappedImages)
    assert torch.equal(third.train.labels, first.train.labels)


def test_changed_files_are_read_anew(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    before = build("torchvision", name="MNIST", root=tmp_path)
    labels = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    content = bytearray(labels.read_bytes())
    content[8:] = bytes([7] * (len(content) - 8))
    labels.write_bytes(content)
    after = build("torchvision", name="MNIST", root=tmp_path)
    for data, expected in ((before, 10), (after, 1)):
        assert data.test is not None
        assert len(torch.cat([batch.label for batch in data.test.batches(0)]).unique()) == expected


def test_it_may_be_resized(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    data = build("torchvision", name="MNIST", root=tmp_path, default_res=14)
    assert (data.dims.channels, data.dims.height, data.dims.width) == (1, 14, 14)


def test_each_image_is_validated_on_in_one_fold(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    seen: list[int] = []
    for fold in range(4):
        data = build("torchvision", name="MNIST", root=tmp_path, val_prop=0.25, fold=fold)
        train, val = rows(data, "train"), rows(data, "val")
        assert sorted(train + val) == list(range(200))
        seen += val
    assert sorted(seen) == list(range(200))
    with pytest.raises(OptionError, match="`?fold`? must be < 4 "):
        module("torchvision", val_prop=0.25, fold=4)


def test_the_splits_depend_on_their_own_seed_only(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    one, other = (build("torchvision", name="MNIST", root=tmp_path, seed=seed) for seed in (1, 2))
    assert rows(one, "val") == rows(other, "val")
    apart = build("torchvision", name="MNIST", root=tmp_path, split_seed=1)
    assert rows(one, "val") != rows(apart, "val")


def test_images_on_the_device_make_the_batches_of_the_map(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    mapped, kept = (
        build("torchvision", name="MNIST", root=tmp_path, batch_size=32, on_device=on_device)
        for on_device in (False, True)
    )
    assert isinstance(kept.train, DeviceImages)
    for name in ("train", "val", "test"):
        ours, theirs = (list(getattr(data, name).batches(5, 1)) for data in (mapped, kept))
        assert len(ours) == len(theirs)
        for one, two in zip(ours, theirs, strict=True):
            assert torch.equal(one.image, two.image)
            assert torch.equal(one.label, two.label)
            assert torch.equal(one.group, two.group)


def test_what_is_not_there_is_told_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no cifar-10-batches-py in .*dm\.download=true.*dm\.root"):
        module("torchvision", root=tmp_path).check_sources()


def test_damaged_files_are_told_with_the_next_step(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cut short")
    with pytest.raises(UserError, match=r"(?s)CIFAR10: .*corrupted.*Delete .*cifar-10-batches-py"):
        build("torchvision", root=tmp_path)


def test_a_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"(?s)MNIST: .*Delete .*MNIST/raw, and fetch it anew"):
        build("torchvision", name="MNIST", root=tmp_path)


def test_without_a_network_a_download_fails_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file is the only address that answers the same with a network and without.
    monkeypatch.setattr(datasets.CIFAR10, "url", (tmp_path / "none.tar.gz").as_uri())
    with pytest.raises(UserError, match=r"(?s)CIFAR10 could not be fetched .*on another machine"):
        build("torchvision", root=tmp_path / "data", download=True)


def test_a_download_that_failed_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mirror, root = tmp_path / "mirror", tmp_path / "data"
    write_mnist(mirror)
    resources: list[tuple[str, str]] = []
    for path in sorted((mirror / "MNIST" / "raw").iterdir()):
        packed = mirror / f"{path.name}.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        resources.append((packed.name, calculate_md5(packed)))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{(tmp_path / 'none').as_uri()}/"])
    for _ in range(2):  # the first leaves an empty folder
        with pytest.raises(UserError, match=r"(?s)MNIST could not be fetched .*on another machine"):
            build("torchvision", name="MNIST", root=root, download=True)
    with served(mirror) as address:
        monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
        data = build("torchvision", name="MNIST", root=root, download=True)
    assert (len(data.train), len(data.test or ())) == (180, 100)
    assert len(build("torchvision", name="MNIST", root=root, download=True).train) == 180


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "Food101"}, r"`?default_res`? must be set with `?name`?=Food101"),
        ({"name": "CIFAR11"}, "cannot be 'CIFAR11'. Did you mean 'CIFAR10'"),
        ({"mean": [0.1, 0.2]}, "`?mean`? must have one number for each channel"),
        ({"val_prop": 0.0, "fold": 1}, "`?fold`? has no effect"),
        ({"default_res": 2**40}, "makes every image"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        module("torchvision", **options)


def test_numbers_for_three_channels_are_refused_for_one(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    with pytest.raises(UserError, match=r"dm\.mean has 3 numbers for images of 1 channel"):
        build("torchvision", name="MNIST", root=tmp_path, mean=[0.1, 0.2, 0.3])


def test_a_share_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    with pytest.raises(UserError, match="leaves one of the splits empty"):
        build("torchvision", name="MNIST", root=tmp_path, val_prop=0.001)


def test_the_usual_ones_have_names_of_their_own(repository: Path) -> None:
    folder = repository / "src/runwright/domains/vision/conf/dm"
    names = {path.read_text().split("name: ")[1].split()[0] for path in folder.glob("*.yaml")}
    assert names <= SETS.keys()
    assert {"CIFAR10", "CIFAR100", "FashionMNIST", "SVHN"} <= names


@pytest.mark.slow
def test_the_command_line_trains_and_tests_on_mnist(tmp_path: Path, run_main: Run) -> None:
    write_mnist(tmp_path / "data", per_class=60)
    done = run_main(
        *("dm=mnist", "dm/augment=standard", "dm.augment.crop=2", "dm.augment.flip=none"),
        *("model=cnn", "opt.lr=0.003", "gpu=-1", "then=[test]", "training.epochs=15"),
        *("dm.batch_size=32", "hydra.run.dir=run"),
    )
    assert done.returncode == 0, done.stderr
    accuracy = float(done.stdout.split("test_accuracy ")[1].split()[0])
    assert accuracy > 0.8
    assert "worst_group" not in done.stdout
    assert (tmp_path / "run" / "pictures" / "training_examples.png").stat().st_size > 5000


def test_the_interface_is_no_choice() -> None:
    assert ImageDataModule.config_choice is None
