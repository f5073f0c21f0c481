"""Steps that an objective defines itself, made of any number of updates."""

import contextlib
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Any, Final, Generic, TypeVar, cast, final

import torch
from torch import Tensor, nn

from runwright.config import TrainingCfg
from runwright.data import Batch
from runwright.errors import UserError, did_you_mean
from runwright.optimizers.own_step import Losses, StepObjective
from runwright.training.updates import Updater, parameters_of

B = TypeVar("B", bound=Batch)

_NO_SUCH_OPTIMIZERS: Final = (
    "{objective} needs optimisers named {wanted}, but {opt} has {there}. Choose an opt whose "
    "`build` returns a dictionary with these names."
)
_OTHER_NUMBER: Final = (
    "{objective}.step called updates.batches() {taken} times, but batches_per_step is {declared}. "
    "A resumed training finds its place in the data by that number, so the two must agree."
)
_OTHER_NAMES: Final = (
    "{objective}: the losses of step {step} are {now}, but those of the first step were {before}. "
    "Every step must have the same losses, and one of them must be called `loss`."
)


def check_own_step(
    objective: Any, training: TrainingCfg | None, names: Iterable[str], opt: str
) -> None:
    """Make sure that an objective can do its own steps, if it does; data are not needed for that.

    Args:
        objective: the objective.
        training: the options of the training, if they are known.
        names: the names of the optimisers that there are.
        opt: what chose them, `opt=torch`.

    Raises:
        UserError: an optimiser that it asks for is missing, or the model is to be sharded.
    """
    if not isinstance(objective, StepObjective):
        return
    names, wanted = list(names), list(cast("StepObjective[Any]", objective).optimizers)
    named = type(cast("object", objective)).__name__
    if cast("StepObjective[Any]", objective).batches_per_step < 1:
        raise UserError(
            f"{named}.batches_per_step must be ≥ 1, got {objective.batches_per_step}: it is how "
            "many times a step calls `updates.batches()`."
        )
    if not set(wanted) <= set(names):
        there = ", ".join(names) if names != [""] else "only one, which has no name"
        raise UserError(
            _NO_SUCH_OPTIMIZERS.format(
                objective=named, wanted=", ".join(wanted), opt=opt, there=there
            )
        )
    if training is not None and training.parallel == "fsdp":
        raise UserError(
            f"training.parallel=fsdp: {named} defines its own training step, which may use parts "
            "of the model separately. Use ddp."
        )


@final
class OwnSteps(Generic[B]):
    """Does the steps of an objective, as its `Updates`.

    Attributes:
        number: the number of the step that is done, from 0.
    """

    def __init__(self, objective: StepObjective[B], updater: Updater[B]) -> None:
        self.number = 0
        self._objective = objective
        self._updater = updater
        self._supply: Iterator[B] = iter(())
        self._taken = 0
        self._found: dict[str, list[Tensor]] = {}
        self._names: set[str] = set()

    def __call__(self, number: int, batches: Iterator[B]) -> dict[str, Tensor]:
        """Do one step.

        Returns:
            The mean of every loss, still on the device.

        Raises:
            UserError: the objective takes another number of batches than it says, or its losses
                have other names than before.
        """
        self.number, self._supply, self._taken, self._found = number, batches, 0, {}
        self._objective.step(self)
        named, declared = type(self._objective).__name__, self._objective.batches_per_step
        if self._taken != declared:
            said = _OTHER_NUMBER.format(objective=named, taken=self._taken, declared=declared)
            raise UserError(said)
        self._names = self._names or {*self._found, "loss"}
        if self._found.keys() != self._names:
            now, before = (
                ", ".join(f"`{n}`" for n in names) for names in (self._found, self._names)
            )
            said = _OTHER_NAMES.format(step=number + 1, objective=named, now=now, before=before)
            raise UserError(said)
        return {name: _mean(values, name) for name, values in self._found.items()}

    def batches(self) -> Iterator[B]:
        """The next batches; see `Updates`."""
        self._taken += 1
        # Now: one that is not used is passed over all the same, as a resumed training does.
        return iter(list(islice(self._supply, self._updater.num_batches)))

    def minimise(
        self,
        losses: Losses[B],
        batches: Iterable[B],
        optimizer: str | None = None,
        *,
        loss: str = "loss",
    ) -> None:
        """Update the parameters of an optimiser once; see `Updates`."""
        there = self._updater.optimizers
        if optimizer is not None and optimizer not in there:
            raise UserError(
                f"{type(self._objective).__name__}.step: there is no optimiser '{optimizer}'. "
                + did_you_mean(optimizer, there)
            )
        chosen = list(there.values()) if optimizer is None else [there[optimizer]]
        supply = iter(batches)
        with self._constant(set(map(id, parameters_of(chosen)))):
            try:
                found = self._updater.update(losses, supply, chosen, number=self.number, loss=loss)
            except StopIteration:
                raise UserError(
                    f"{type(self._objective).__name__}.step: an update got fewer batches than "
                    f"training.accumulate_grad_batches={self._updater.num_batches}. Give each "
                    "update its own `updates.batches()`, or use a list of them again."
                ) from None
        if any(True for _ in supply):
            raise UserError(
                f"{type(self._objective).__name__}.step: an update got more batches than "
                f"training.accumulate_grad_batches={self._updater.num_batches}, and would ignore "
                "the rest. Give each update its own `updates.batches()`."
            )
        for computed in found:
            for name, value in computed.items():
                self._found.setdefault(name, []).append(value)

    @contextlib.contextmanager
    def _constant(self, updated: set[int]) -> Generator[None]:
        """Within this context no gradients are computed of what is not updated."""
        others = [
            parameter
            for parameter in parameters_of(self._updater.optimizers.values())
            if id(parameter) not in updated and parameter.requires_grad
        ]
        _require_grad(others, needed=False)
        try:
            yield
        finally:
            _require_grad(others, needed=True)


def _require_grad(parameters: Iterable[nn.Parameter], *, needed: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(needed)


def _mean(values: list[Tensor], name: str) -> Tensor:
    """The mean of a loss; NaN, where there was nothing to measure, joins only that of `loss`."""
    if len(values) == 1:
        return values[0]
    stacked = torch.stack(values)
    return stacked.mean() if name == "loss" else stacked.nanmean()
