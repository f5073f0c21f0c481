"""Batches that are gathered ahead: the same by a thread and by any number of processes."""

import gc
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from runwright import Batch, Ragged, RunError, Streamed, UserError
from runwright.training.splits import FirstBatches, part_of
from streamed_domain import COUNT, CPU, WAYS, Gathered, NoisyDataset, split
from toy_domain import SetBatch

TORCH_WAYS = ["dataset", "stream"]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    gc.collect()  # an exception holds what it was raised in
    assert not workers()
    assert not [one for one in threading.enumerate() if one.name.startswith("batches")]


def workers() -> list[BaseProcess]:
    return [one for one in multiprocessing.active_children() if one.name.startswith("batches")]


def values(batches: Iterator[SetBatch]) -> list[list[float]]:
    return [batch.vectors.flatten().tolist() for batch in batches]


@pytest.mark.parametrize("way", WAYS)
def test_batches_are_the_same_for_any_number_of_workers_and_any_start(way: str) -> None:
    expected = [values(split(way).batches(epoch)) for epoch in range(3)]
    assert len(expected[0]) == COUNT // 8
    assert expected[0] != expected[1]
    for num_workers in (0, 1, 3):
        one = split(way, num_workers)
        for epoch, start in ((2, 0), (0, 3), (1, 6), (0, 0), (1, 7)):
            assert values(one.batches(epoch, start)) == expected[epoch][start:]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_shuffled_is_the_same_in_every_epoch(way: str) -> None:
    first, second = (values(split(way, 2, shuffle_seed=None).batches(e)) for e in (0, 5))
    if way == "gather":  # which draws what it likes
        assert first != second
    else:
        assert first == second or way == "stream"
    assert sum(map(len, first)) == COUNT * 5 * 3


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("way", WAYS)
def test_the_shares_of_several_processes_are_the_batch(way: str, num_workers: int) -> None:
    whole = list(split(way).batches(1, start=2))
    shares = [list(part_of(split(way, num_workers), rank, 2).batches(1, 2)) for rank in range(2)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert torch.equal(batch.vectors, torch.cat([part.vectors for part in parts]))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("way", TORCH_WAYS)
def test_the_training_finds_its_own_generators_unchanged(way: str, num_workers: int) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.random(), float(torch.rand(()))

    def begin() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    begin()
    expected = [draw() for _ in range(4)]
    begin()
    batches = split(way, num_workers).batches(0)
    found = [draw()]
    for _ in range(3):
        next(batches)
        found.append(draw())
    assert found == expected


def test_workers_are_kept_over_the_epochs_and_end_with_the_split() -> None:
    one = split("gather", 2)
    pids: set[int | None] = set()
    for epoch in range(3):
        assert len(list(one.batches(epoch))) == 7
        pids |= {worker.pid for worker in workers()}
    assert len(pids) == 2
    del one
    assert not workers()


def test_two_passes_at_once_share_the_workers() -> None:
    one = split("gather", 2)
    training = one.batches(0)
    found = [next(training), next(training)]
    for _ in range(2):  # two validations in the middle of an epoch
        assert values(one.batches(5)) == values(split("gather").batches(5))
    assert len(workers()) == 2
    assert values(iter([*found, *training])) == values(split("gather").batches(0))


def test_a_pass_that_is_left_early_leaves_its_workers_ready() -> None:
    one = FirstBatches(split("gather", 2), 2)
    for epoch in range(3):
        assert values(one.batches(epoch)) == values(islice(split("gather").batches(epoch), 2))


class Slow(Gathered):
    """Counts what it gathers, in files."""

    folder: Path

    def gather(self, positions: torch.Tensor, epoch: int) -> SetBatch:
        (self.folder / f"{time.monotonic_ns()}").touch()
        return super().gather(positions, epoch)


@pytest.mark.parametrize(("num_workers", "most"), [(0, 3), (2, 5)])
def test_only_so_many_batches_are_gathered_ahead(
    tmp_path: Path, num_workers: int, most: int
) -> None:
    one = Slow(COUNT, batch_size=2, shuffle_seed=1, device=CPU, num_workers=num_workers)
    one.folder = tmp_path
    batches = one.batches(0)
    next(batches)
    time.sleep(0.3)
    assert len([*tmp_path.iterdir()]) == most


def dataset_split(num_workers: int, fatal: dict[int, Callable[[], object]]) -> Any:
    dataset = NoisyDataset()
    dataset.fatal = fatal
    return split("dataset", num_workers, dataset=dataset)


def fail() -> None:
    raise KeyError("no such image")


class OddError(Exception):
    def __init__(self, one: int, other: int) -> None:  # so it cannot be unpickled
        super().__init__(f"{one} and {other}")


def fail_oddly() -> None:
    raise OddError(1, 2)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_exception_names_the_example_and_keeps_its_traceback(num_workers: int) -> None:
    with pytest.raises(KeyError, match="no such image") as caught:
        list(dataset_split(num_workers, {17: fail}).batches(0))
    notes = "\n".join(caught.value.__notes__)
    assert "Raised by example 17 of NoisyDataset." in notes
    if num_workers:
        assert "in worker" in notes
        assert "test_streaming.py" in str(caught.value.__cause__)


def test_an_exception_that_cannot_travel_is_told_as_text() -> None:
    with pytest.raises(RuntimeError, match="OddError: 1 and 2"):
        list(dataset_split(2, {17: fail_oddly}).batches(0))


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by SIGKILL .*fewer workers"),
        (lambda: os.kill(os.getpid(), signal.SIGBUS), "was killed by SIGBUS .*/dev/shm"),
        (lambda: os._exit(3), "ended with status 3 .*dm.num_workers=0"),
    ],
    ids=["killed", "no shared memory", "ended"],
)
def test_a_worker_that_dies_is_told_with_what_it_read(end: Callable[[], object], said: str) -> None:
    one = dataset_split(2, {17: end})
    with pytest.raises(RunError, match=rf"^Worker \d of 2, which .*{said}") as caught:
        list(one.batches(0))
    batch = next(b for b in one.order(0).split(8) if 17 in b.tolist())
    assert f"the examples {', '.join(map(str, batch[:5].tolist()))}, …" in str(caught.value)
    one.dataset.fatal.clear()
    assert values(one.batches(0)) == values(split("dataset").batches(0))  # by new workers


def test_workers_pay_no_heed_to_what_is_meant_for_the_training() -> None:
    one = split("gather", 2)
    batches = one.batches(0)
    found = [next(batches)]
    for worker in workers():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
            assert worker.pid is not None
            os.kill(worker.pid, number)
    assert values(iter([*found, *batches])) == values(split("gather").batches(0))


def test_a_worker_that_hangs_does_not_keep_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runwright.data.streaming._PATIENCE", 0.2)
    one = dataset_split(2, {int(split("dataset").order(0)[30]): lambda: time.sleep(1000)})
    batches = one.batches(0)
    next(batches)
    started = time.monotonic()
    batches.close()
    assert time.monotonic() - started < 20


class Short(Gathered):
    def gather(self, positions: torch.Tensor, epoch: int) -> SetBatch:
        return super().gather(positions[1:], epoch)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_batch_of_another_size_than_asked_for_is_refused(num_workers: int) -> None:
    one = Short(COUNT, batch_size=8, shuffle_seed=0, device=CPU, num_workers=num_workers)
    with pytest.raises(UserError, match="`vectors` has 7 entries, for a batch of 8 examples"):
        next(one.batches(0))


LARGE = torch.arange(2_000_000.0).view(100, 20_000)  # more than fits into a pipe


class Sets(Streamed[Any]):
    """Plans of its own: what a set is made of is drawn anew in every epoch."""

    def order(self, epoch: int) -> torch.Tensor:
        rng = np.random.default_rng([7, epoch])
        return torch.from_numpy(rng.integers(0, 100, (self.num_examples, 4)))

    def gather(self, positions: torch.Tensor, epoch: int) -> Any:
        assert positions.shape[1:] == (4,)
        sets = [row[: 1 + int(row[0]) % 4] for row in positions]
        return RaggedBatch(members=Ragged.of(sets), large=LARGE[: len(sets)])


@attrs.frozen(kw_only=True)
class RaggedBatch(Batch):
    members: Ragged
    large: torch.Tensor


def test_a_plan_may_have_several_rows_for_each_example() -> None:
    def read(num_workers: int) -> list[list[int]]:
        one = Sets(20, batch_size=5, shuffle_seed=0, device=CPU, num_workers=num_workers)
        return [
            [*batch.members.values.tolist(), *batch.members.offsets.tolist()]
            for epoch in range(2)
            for batch in one.batches(epoch)
        ]

    assert read(0) == read(2)


def test_a_worker_sends_a_part_of_a_tensor_and_not_all_of_it() -> None:
    one = Sets(20, batch_size=5, shuffle_seed=0, device=CPU, num_workers=1)
    large = next(one.batches(0)).large
    assert torch.equal(large, LARGE[:5])
    assert large.untyped_storage().nbytes() == large.nbytes < LARGE.nbytes


def test_a_dataset_that_draws_from_elsewhere_is_noticed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Elsewhere(NoisyDataset):
        rng = np.random.default_rng()

        def __getitem__(self, index: int) -> Any:
            x, target = super().__getitem__(index)
            return x + float(self.rng.normal()), target

    list(split("dataset").batches(0))
    assert not caplog.records
    one = split("dataset", dataset=Elsewhere())
    list(one.batches(0))
    list(one.batches(1))
    assert len(caplog.records) == 1
    assert "of Elsewhere is different when it is read again" in caplog.text
