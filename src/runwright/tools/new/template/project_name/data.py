"""The data: what is known of them before they are read, a batch, and how they are made."""

from typing import TYPE_CHECKING, ClassVar

import attrs
from runwright import Batch, Data, DataModule, Dims, factory, option

if TYPE_CHECKING:
    from runwright import InMemory, Runtime
    from torch import Tensor


@attrs.frozen(kw_only=True)
class PointDims(Dims):
    """What a model needs to know of points."""

    features: int
    num_classes: int


@attrs.frozen(kw_only=True)
class PointBatch(Batch):
    """Points and their classes."""

    points: "Tensor"  # (B, features), float32
    label: "Tensor"  # (B,), int64


@factory("spirals")
class Spirals(DataModule[PointDims, PointBatch]):
    """Points on the arms of a spiral; the class of a point is its arm."""

    default_objective: ClassVar[str | None] = "arm"

    num_points: int = option(default=2000, ge=10, doc="points to train on")
    num_classes: int = option(default=3, ge=2, doc="arms of the spiral")
    noise: float = option(default=0.05, ge=0, doc="standard deviation around an arm")
    batch_size: int = option(default=64, ge=1, doc="points per batch")
    split_seed: int = option(
        default=0, ge=0, doc="seed of the points, the same for every seed of the run"
    )

    def expected_dims(self) -> PointDims:
        """The dims, which are known without the data: a model that does not fit is told at once."""
        return PointDims(features=2, num_classes=self.num_classes)

    def build(self, runtime: "Runtime") -> Data[PointDims, PointBatch]:
        """Draw the points; a tenth as many again to validate on, and to test on."""
        held_out = max(1, self.num_points // 10)
        return Data(
            dims=self.expected_dims(),
            train=self._split(self.num_points, 0, runtime, shuffle_seed=runtime.seed),
            val=self._split(held_out, 1, runtime),
            test=self._split(held_out, 2, runtime),
        )

    def _split(
        self, count: int, part: int, runtime: "Runtime", shuffle_seed: int | None = None
    ) -> "InMemory[PointBatch]":
        import numpy as np
        import torch
        from runwright import InMemory

        rng = np.random.default_rng([self.split_seed, part])
        label = rng.integers(self.num_classes, size=count)
        radius = np.sqrt(rng.uniform(0.05, 1.0, size=count))
        angle = 2 * np.pi * (radius + label / self.num_classes)
        points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points += self.noise * rng.standard_normal(points.shape)
        batch = PointBatch(points=torch.tensor(points).float(), label=torch.tensor(label))
        return InMemory(
            batch.to(runtime.device),
            batch_size=min(self.batch_size, count),
            shuffle_seed=shuffle_seed,
        )
