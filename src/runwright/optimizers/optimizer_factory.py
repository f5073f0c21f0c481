"""Optimisers and their schedules: the interface of their factories.

What a lab needs for an optimiser of another library:

    @factory("lion")
    class Lion(ScheduledOptimizer):  # with lr, weight decay, warm-up and schedules as options
        '''Lion.'''

        beta: float = option(default=0.9, ge=0, lt=1, doc="decay of the momentum")

        def build(self, model: nn.Module) -> Optimizer:
            return lion_pytorch.Lion(self.parameter_groups(model), lr=self.lr, …)

It is chosen with `opt=lion`. An `OptimizerFactory` has the options that it declares itself.
"""

import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from typing_extensions import override

from runwright.errors import UserError
from runwright.factory import Settings, name_of, settings
from runwright.model import FittedModel
from runwright.plain import plain_values

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer

Optimizers: TypeAlias = "Mapping[str, Optimizer]"
"""The optimisers of a training by name; one that is alone is called ""."""

_MOST_NAMES: Final = 8


class Schedule(ABC):
    """The learning rates of some optimisers, step by step.

    A schedule that is not a function of the step has a state, which is saved with every checkpoint.
    """

    @abstractmethod
    def set_lr(self, step: int) -> None:
        """Set the learning rates for a step, counted from 0. Every step asks for it, in order."""

    @abstractmethod
    def lrs(self, step: int) -> Mapping[str, float]:
        """The learning rate of each optimiser in a step, to be recorded: the highest it has."""

    def measured(self, monitor: str, value: float, *, higher_is_better: bool) -> None:  # noqa: B027  # optional
        """Take note of the monitored measure, each time that it was measured.

        Args:
            monitor: its name.
            value: the same in every process; NaN where it is undefined.
            higher_is_better: whether more of it is better.
        """

    def state(self) -> dict[str, Any]:
        """What it takes to continue: plain values and tensors, in lists and dictionaries too."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027  # optional
        """Continue from what `state` returned."""


@final
class FactorSchedule(Schedule):
    """Multiplies the learning rates that the optimisers were built with by a factor."""

    def __init__(self, optimizers: Optimizers, factor: Callable[[int], float]) -> None:
        """Take the learning rates that the optimisers have now as those of a factor of 1."""
        self._optimizers = optimizers
        self._peaks = {
            name: [group["lr"] for group in one.param_groups] for name, one in optimizers.items()
        }
        self._factor = factor

    @override
    def set_lr(self, step: int) -> None:
        factor = self._factor(step)
        for name, optimizer in self._optimizers.items():
            # Restoring an optimiser makes new groups, so they are not kept.
            for group, peak in zip(optimizer.param_groups, self._peaks[name], strict=True):
                group["lr"] = peak * factor

    @override
    def lrs(self, step: int) -> dict[str, float]:
        factor = self._factor(step)
        return {name: max(peaks) * factor for name, peaks in self._peaks.items()}


@final
class SteppedSchedule(Schedule):
    """A scheduler of torch, or of another library, that is stepped once after every update.

    It has `step()`, `state_dict()` and `load_state_dict()`, as `torch.optim.lr_scheduler` defines
    them. What it changes in the optimiser's groups, momentum for instance, is saved with those.
    """

    def __init__(self, optimizers: Optimizers, schedulers: Sequence[Any]) -> None:
        """Take the schedulers, made for these optimisers, at their start."""
        self._optimizers = optimizers
        self._schedulers = list(schedulers)
        self._step = 0
        self._is_new = True

    @override
    def set_lr(self, step: int) -> None:
        behind = step - self._step
        if behind > 0 and self._is_new:
            with warnings.catch_warnings():
                # torch's, where a resumed training takes a new schedule to where it is.
                warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler\.step\(\)`")
                self._advance(behind)
        else:
            self._advance(behind)
        self._is_new = False

    def _advance(self, steps: int) -> None:
        for _ in range(steps):
            for scheduler in self._schedulers:
                scheduler.step()
            self._step += 1

    @override
    def lrs(self, step: int) -> dict[str, float]:
        return {
            name: max(float(group["lr"]) for group in one.param_groups)
            for name, one in self._optimizers.items()
        }

    @override
    def state(self) -> dict[str, Any]:
        return {"step": self._step, "schedulers": [one.state_dict() for one in self._schedulers]}

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        self._step = state["step"]
        for scheduler, its in zip(self._schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(its)


@settings
class OptimizerFactory(Settings, ABC, group="opt"):
    """Interface of what updates the weights: an optimiser and its schedule; the group `opt`."""

    @abstractmethod
    def build(self, model: "nn.Module") -> "Optimizer | Mapping[str, Optimizer]":
        """Build the optimiser of the model's trainable parameters, or several by name.

        Parameters that are frozen (`requires_grad` is false) are left out. An objective with a step
        of its own asks for several by their names; otherwise each step updates all of them.

        Raises:
            UserError: the options do not fit the model.
        """

    def lr_factor(self, total_steps: int, steps_per_epoch: int) -> Callable[[int], float]:
        """The learning rate as a share of that in `build`, by steps done: 0 … total_steps − 1.

        Raises:
            UserError: the options do not fit the length of the training.
        """
        del total_steps, steps_per_epoch
        return lambda _: 1.0

    def build_schedule(
        self, optimizers: Optimizers, total_steps: int, steps_per_epoch: int
    ) -> Schedule:
        """Build the schedule; by default the learning rates are multiplied by `lr_factor`.

        A schedule with a state is returned from here, such as
        `SteppedSchedule(optimizers, [CyclicLR(optimizers[""], …)])`.

        Raises:
            UserError: the options do not fit the length of the training.
        """
        return FactorSchedule(optimizers, self.lr_factor(total_steps, steps_per_epoch))

    def check_on(self, device: "torch.device") -> None:
        """Check that the optimiser works there, before data are read.

        Raises:
            UserError: it does not.
        """

    @property
    def described(self) -> str:
        """The optimiser and what its state depends on; with another one its state is reset."""
        return self.described_without({"lr", "weight_decay"})

    def described_without(self, names: Collection[str]) -> str:
        """Its name, and its options but for these."""
        options = plain_values(self)
        given = ", ".join(f"{n}={options[n]}" for n in sorted(options.keys() - set(names)))
        name = name_of(type(self)) or type(self).__name__
        return f"{name}({given})" if given else name

    @property
    def schedule_described(self) -> str:
        """The schedule; with another one its state is reset."""
        return f"The schedule of opt={name_of(type(self)) or type(self).__name__}"

    @final
    def optimizers(self, model: "nn.Module") -> "dict[str, Optimizer]":
        """What `build` builds, by name; none for a model that is fitted without gradients.

        Raises:
            UserError: as `build`; or a trainable parameter has no optimiser, or one has parameters
                that are not the model's.
        """
        if isinstance(model, FittedModel):
            return {}
        built = self.build(model)
        named: dict[str, Optimizer] = dict(built) if isinstance(built, Mapping) else {"": built}
        parameters = dict(model.named_parameters())
        counts = Counter(
            id(parameter)
            for optimizer in named.values()
            for group in optimizer.param_groups
            for parameter in group["params"]
        )
        chosen = f"opt={name_of(type(self)) or type(self).__name__}"
        if shared := [n for n, p in parameters.items() if counts[id(p)] > 1]:
            raise UserError(
                f"{chosen}: several optimisers update {', '.join(shared[:_MOST_NAMES])}. Give each "
                "parameter to only one of them."
            )
        idle = [n for n, p in parameters.items() if p.requires_grad and id(p) not in counts]
        if idle:
            more = f" and {len(idle) - _MOST_NAMES} more" if len(idle) > _MOST_NAMES else ""
            raise UserError(
                f"{chosen}: no optimiser updates {', '.join(idle[:_MOST_NAMES])}{more}. Give "
                "these parameters to one, or freeze them (finetune.freeze)."
            )
        if counts.keys() - {id(parameter) for parameter in parameters.values()}:
            raise UserError(
                f"{chosen}: an optimiser has parameters that are not the model's, so they could "
                "not be saved. Build it from model.parameters()."
            )
        return named
