"""Parts of a split: a process's share of each batch, or only the first batches."""

import copy
import functools
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from typing_extensions import override

from runwright.config import TrainingCfg
from runwright.data import Batch, Data, Split
from runwright.data.batching import Batched, share_of
from runwright.errors import UserError

B = TypeVar("B", bound=Batch)

_LIMIT_VAL: Final = "training.limit_val_batches"
_TRAINSET: Final = "trainset"


def limited(data: Data[Any, B], cfg: TrainingCfg) -> tuple[Split[B], dict[str, Split[B]]]:
    """The training split and the validation splits by name, as the options limit them.

    Of the latter `val` is the first; there are none when there are no data to validate on.

    Raises:
        UserError: a limit leaves no batch.
    """
    if cfg.overfit_batches is not None:
        count = cfg.overfit_batches
        few = FirstBatches(data.train, count, same_every_epoch=True)
        measured = FirstBatches(data.train.as_measured(), count, same_every_epoch=True)
        return few, dict.fromkeys(("val", *data.also), measured)
    train = _limit(data.train, cfg.limit_train_batches, "training.limit_train_batches")
    validation = {
        name: _limit(split, cfg.limit_val_batches, _LIMIT_VAL)
        for name, split in _validation(data).items()
    }
    if cfg.measure_train is not None:
        if not validation or _TRAINSET in validation:
            why = "no validation split" if not validation else f"one called {_TRAINSET}"
            raise UserError(f"training.measure_train must be null: the data have {why}.")
        measured = _limit(
            data.train.as_measured(), cfg.limit_train_batches, "training.limit_train_batches"
        )
        validation[_TRAINSET] = _limit(measured, cfg.measure_train, "training.measure_train")
    return train, validation


def limited_validation(data: Data[Any, B], cfg: TrainingCfg) -> dict[str, Split[B]]:
    """The validation splits of `limited`, for a stage that may need none of them.

    A limit that leaves no batch is an error only of who asks for the batches.
    """
    if cfg.overfit_batches is not None:
        return limited(data, cfg)[1]
    limit, splits = cfg.limit_val_batches, _validation(data)
    return {name: _LimitedLater(one, limit) for name, one in splits.items()} if limit else splits


def _validation(data: Data[Any, B]) -> dict[str, Split[B]]:
    return {"val": data.val, **data.also} if data.val is not None else {}


def _limit(split: Split[B], to: float | None, option: str) -> Split[B]:
    """The first batches of a split: a number of them, or a fraction if `to` is a float."""
    if to is None:
        return split
    count = int(to * split.num_batches) if isinstance(to, float) else to
    if count < 1:
        raise UserError(f"{option}={to} leaves none of the {split.num_batches} batches.")
    return FirstBatches(split, count)


def part_of(split: Split[B], rank: int, ranks: int) -> Split[B]:
    """What one of several processes takes of every training batch: an equal share.

    Raises:
        UserError: the batch cannot be divided equally.
    """
    if ranks == 1:
        return split
    if isinstance(split, FirstBatches):
        inner = part_of(split.split, rank, ranks)
        return FirstBatches(inner, split.num_batches, same_every_epoch=split.same_every_epoch)
    if not isinstance(split, Batched):
        return PartOfBatches(split, rank, ranks)
    if split.batch_size % ranks:
        raise UserError(
            f"dm.batch_size={split.batch_size} cannot be divided equally among {ranks} processes. "
            f"Use a multiple of {ranks}."
        )
    part = copy.copy(split)
    part.rank, part.ranks = rank, ranks
    return part


class PartOfBatches(Split[B], Generic[B]):
    """One process's share of every batch of a split that knows nothing about processes."""

    def __init__(self, split: Split[B], rank: int, ranks: int) -> None:
        self.split, self.rank, self.ranks = split, rank, ranks

    @override
    def __len__(self) -> int:
        return len(self.split)

    @property
    @override
    def num_batches(self) -> int:
        return self.split.num_batches

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        for number, batch in enumerate(self.split.batches(epoch, start)):
            if number == 0:
                batch.check_lengths()
            if len(batch) % self.ranks:
                raise UserError(
                    f"A batch of {len(batch)} examples cannot be divided equally among "
                    f"{self.ranks} processes."
                )
            yield batch.select(slice(*share_of(0, len(batch), self.rank, self.ranks)))


class FirstBatches(Split[B], Generic[B]):
    """Only the first batches of a split, for quick looks and debugging."""

    def __init__(
        self, split: Split[B], num_batches: int, *, same_every_epoch: bool = False
    ) -> None:
        """Limit `split` to `num_batches` per epoch, those of epoch 0 if `same_every_epoch`."""
        self.split = split
        self._at_most = num_batches
        self.same_every_epoch = same_every_epoch

    @override
    def __len__(self) -> int:
        return sum(len(batch) for batch in self.batches(0))

    @property
    @override
    def num_batches(self) -> int:
        return min(self._at_most, self.split.num_batches)

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        epoch = 0 if self.same_every_epoch else epoch
        return islice(self.split.batches(epoch, start), self.num_batches - start)


class _LimitedLater(Split[B], Generic[B]):
    """A validation split that is limited when it is first used."""

    def __init__(self, split: Split[B], to: float) -> None:
        self._split, self._to = split, to

    @functools.cached_property
    def _limited(self) -> Split[B]:
        return _limit(self._split, self._to, _LIMIT_VAL)

    @override
    def __len__(self) -> int:
        return len(self._limited)

    @property
    @override
    def num_batches(self) -> int:
        return self._limited.num_batches

    @override
    def batches(self, epoch: int, start: int = 0) -> Iterator[B]:
        return self._limited.batches(epoch, start)
