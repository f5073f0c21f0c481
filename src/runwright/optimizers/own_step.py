"""Objectives with a training step of their own: several optimisers in turn, as a GAN needs them.

    class Adversarial(StepObjective[MyBatch]):
        optimizers = "generator", "critic"
        batches_per_step = 6

        def step(self, updates: Updates[MyBatch]) -> None:
            for _ in range(5):
                updates.minimise(self.critic_losses, updates.batches(), "critic", loss="critic")
            updates.minimise(self.losses, updates.batches(), "generator")

The loop stays the same: what a step computes is its only difference.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from typing_extensions import TypeVar

from runwright.data import Batch
from runwright.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor, nn

B = TypeVar("B", bound=Batch)

B_contra = TypeVar("B_contra", bound=Batch, contravariant=True)


class Losses(Protocol[B_contra]):
    """Gives the losses of one batch, each a tensor of shape (), by name."""

    def __call__(self, model: "nn.Module", batch: B_contra, /) -> "Mapping[str, Tensor]":
        """Compute them; the gradients of one of them are taken."""
        ...


class Updates(Protocol[B]):
    """What a step is made of. Precision, accumulation, clipping and several processes are its job.

    Attributes:
        number: the number of the step, from 0.
    """

    number: int

    def batches(self) -> Iterator[B]:
        """The next batches, as many as one update accumulates. A list of them may be used again."""
        ...

    def minimise(
        self,
        losses: Losses[B],
        batches: Iterable[B],
        optimizer: str | None = None,
        *,
        loss: str = "loss",
    ) -> None:
        """Update the parameters of an optimiser once: forward, backward, clip, step.

        All other optimisers' parameters count as constants meanwhile.

        Args:
            losses: gives the losses of a batch; the mean of each over the step is recorded.
            batches: what they are computed from; their gradients are averaged.
            optimizer: the name of the optimiser; None takes all.
            loss: the name of the loss that is minimised.

        Raises:
            UserError: there is no such optimiser or loss, or there are no batches.
        """
        ...


class StepObjective(Objective[B]):
    """An objective that says what a training step is; `losses` are what is validated.

    Among all the losses that a step computes, one must be called `loss`: it stands for them where
    one number is wanted.
    """

    optimizers: Collection[str] = ()
    """The names of the optimisers that it asks for, which `opt` must have."""

    batches_per_step: int = 1
    """How often a step calls `updates.batches()`, the same in every step."""

    @abstractmethod
    def step(self, updates: Updates[B]) -> None:
        """Do one step.

        What it draws at random or counts must follow from torch's generators and from
        `updates.number`, so that a resumed training continues exactly.
        """
