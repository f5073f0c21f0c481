"""A torch dataset as a split: what its examples must be, and what is said when they are not."""

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from runwright import Batch, Ragged, TorchSplit, TorchStream, UserError
from streamed_domain import COUNT, CPU, NoisyDataset, NoisyStream, split
from toy_domain import SetBatch


@attrs.frozen(kw_only=True)
class Labelled(Batch):
    image: Tensor
    label: Tensor
    weight: Tensor | None = None


@attrs.frozen(kw_only=True)
class Sets(Batch):
    members: Ragged


class Listed(Dataset[Any]):
    """Examples as they are listed."""

    def __init__(self, *examples: Any) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        return self.examples[index]


def read(dataset: Any, collate: Any = Labelled, num_workers: int = 0) -> Any:
    kwargs: dict[str, Any] = {"batch_size": 2, "shuffle_seed": None, "device": CPU}
    return next(TorchSplit(dataset, collate, **kwargs, num_workers=num_workers).batches(0))


def test_examples_are_tuples_or_dictionaries() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    for dataset in (
        Listed((x[0], 0), (x[1], 1)),
        Listed({"label": 0, "image": x[0].numpy()}, {"image": x[1].numpy(), "label": 1}),
        TensorDataset(x, torch.tensor([0, 1])),
        Subset(TensorDataset(torch.cat([x, x]), torch.tensor([0, 1, 0, 1])), [2, 3]),
    ):
        batch = read(dataset)
        assert torch.equal(batch.image, x)
        assert batch.label.tolist() == [0, 1]
        assert batch.label.dtype == torch.int64
        assert batch.weight is None


def test_a_function_makes_a_batch_of_sets_of_different_sizes() -> None:
    def collate(examples: list[Tensor]) -> Sets:
        return Sets(members=Ragged.of(examples))

    for num_workers in (0, 1):
        batch = read(Listed(torch.zeros(3, 2), torch.ones(1, 2)), collate, num_workers)
        assert batch.members.lengths.tolist() == [3, 1]
    with pytest.raises(UserError, match=r"cannot stack examples of different sizes.*Ragged\.of"):
        read(Listed((torch.zeros(3), 0), (torch.zeros(1), 0)))


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    ("example", "said"),
    [
        (
            (1.0, 2, 3.0, 4),
            "has 4 parts, but Labelled has 3 attributes: image, label, weight",
        ),
        ((1.0,), "example 0 lacks label, which Labelled needs"),
        ({"image": 1.0, "lable": 1}, "example 0 has 'lable', .* Did you mean 'label'?"),
        ((object(), 1), "Labelled cannot be made from .*found <class 'object'>.*ToTensor"),
    ],
)
def test_examples_that_do_not_fit_are_refused(num_workers: int, example: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(Listed(example, example), num_workers=num_workers)


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        while True:
            yield torch.zeros(5, 3), torch.zeros(5, 3)


def stream(dataset: Any, **more: Any) -> TorchStream[SetBatch]:
    how: dict[str, Any] = {"batch_size": 8, "shuffle_seed": 0, "device": CPU}
    return TorchStream(dataset, SetBatch, **how, **more)


def test_each_kind_of_dataset_has_its_split() -> None:
    how: dict[str, Any] = {"batch_size": 8, "shuffle_seed": 0, "device": CPU}
    with pytest.raises(UserError, match="NoisyStream is an IterableDataset.*Use TorchStream"):
        TorchSplit(NoisyStream(), SetBatch, **how)
    with pytest.raises(UserError, match="Endless has no length. Say how many"):
        stream(Endless())
    assert stream(Endless(), num_examples=20).num_batches == 2
    assert len(list(stream(Endless(), num_examples=20).batches(0))) == 2

    class Unsized(Dataset[Any]):
        def __getitem__(self, index: int) -> Any:
            return index

    with pytest.raises(UserError, match="Unsized has no length. Define __len__"):
        TorchSplit(Unsized(), SetBatch, **how)
    how["batch_size"] = COUNT + 1
    with pytest.raises(UserError, match=f"has {COUNT} examples, fewer than one batch of 61"):
        _ = TorchSplit(NoisyDataset(), SetBatch, **how).num_batches


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_stream_that_ends_early_says_how_much_there_was(num_workers: int) -> None:
    one = stream(NoisyStream(), num_examples=100, num_workers=num_workers)
    with pytest.raises(
        UserError, match=rf"NoisyStream ended after {COUNT} of 100 examples in epoch 1"
    ):
        list(one.batches(1))


def test_a_stream_says_what_resuming_costs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    list(split("stream").batches(0))
    assert not caplog.records
    list(split("stream").batches(0, start=3))
    assert (
        "The examples of NoisyStream have no index: reading the 24 before batch 3 again."
        in caplog.text
    )


def test_an_epoch_of_a_stream_knows_its_number() -> None:
    dataset = NoisyStream()
    list(stream(dataset, num_examples=COUNT).batches(4))
    assert dataset.epoch == 4
