"""Learning-rate schedules, and the options that optimisers of any library share."""

import dataclasses
import logging
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, final, get_args

from typing_extensions import override

from runwright.errors import UserError, did_you_mean
from runwright.factory import option, settings
from runwright.name_patterns import problems_of_patterns
from runwright.optimizers.optimizer_factory import (
    FactorSchedule,
    OptimizerFactory,
    Optimizers,
    Schedule,
)
from runwright.optimizers.parameter_groups import grouped

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

_NOTHING: Final = 1e-8  # a share of the learning rate that changes nothing any more

ScheduleName = Literal["constant", "cosine", "linear", "one_cycle", "step", "plateau"]

# The one-cycle policy of Smith & Topin (2018, https://arxiv.org/abs/1708.07120) with the default
# constants of torch.optim.lr_scheduler.OneCycleLR.
_ONE_CYCLE_RISE: Final = 0.3
_ONE_CYCLE_START: Final = 1 / 25
_ONE_CYCLE_END: Final = 1 / 25e4

_GAMMA: Final = 0.1
_PATIENCE: Final = 10
# Options that only some schedules use: their default, and those schedules.
_USED_BY: Final[dict[str, tuple[Any, tuple[ScheduleName, ...]]]] = {
    "final_lr_ratio": (0, ("cosine", "linear", "plateau")),
    "milestones": ([], ("step",)),
    "gamma": (_GAMMA, ("step", "plateau")),
    "patience": (_PATIENCE, ("plateau",)),
}


@settings
class ScheduledOptimizer(OptimizerFactory):
    """The learning rate and the weight decay, and how they vary: over steps and parameters."""

    lr: float = option(default=5e-5, gt=0, doc="peak learning rate")
    weight_decay: float = option(default=0.0, ge=0, doc="weight decay, as the optimiser defines it")
    decay_bias_and_norm: bool = option(
        default=False,
        doc="whether weight decay also applies to biases and norms (all 1-d parameters)",
    )
    no_decay: list[str] = option(
        default=[],
        doc="further parameters without weight decay; each a substring or re:REGEX",
    )
    layer_decay: float = option(
        default=1.0,
        gt=0,
        le=1,
        doc="learning rate of each block of the model, as a fraction of that of the next block",
    )
    lr_scale: dict[str, float] = option(
        default={},
        gt=0,
        doc="what the learning rate of some parameters is multiplied by, e.g. {bias: 64}; each "
        "name a substring or re:REGEX",
    )
    schedule: ScheduleName = option(default="one_cycle", doc="learning-rate schedule")
    warmup: int | float = option(
        default=0,
        ge=0,
        doc="length of a linear warm-up before the schedule: an integer is steps, a float a "
        "fraction of all steps",
    )
    warmup_epochs: float | None = option(
        default=None, gt=0, doc="length of the warm-up in epochs, instead of warmup"
    )
    final_lr_ratio: float = option(
        default=0.0,
        ge=0,
        le=1,
        doc="final learning rate of cosine and linear, or lowest of plateau, as a fraction of lr",
    )
    milestones: list[int | float] = option(
        default=[],
        gt=0,
        doc="when schedule=step multiplies the learning rate by gamma: integers are steps, floats "
        "are fractions of all steps",
    )
    gamma: float = option(
        default=_GAMMA, gt=0, lt=1, doc="what step and plateau multiply the learning rate by"
    )
    patience: int = option(
        default=_PATIENCE,
        ge=1,
        doc="validations in a row without a new best after which plateau reduces the learning rate",
    )

    @override
    def problems(self) -> Iterator[str]:
        yield from problems_of_patterns("no_decay", self.no_decay)
        yield from problems_of_patterns("lr_scale", list(self.lr_scale))
        if self.no_decay and not self.weight_decay:
            yield "`no_decay` has no effect with `weight_decay`=0"
        if isinstance(self.warmup, float) and self.warmup > 1:
            yield f"`warmup` as a fraction must be ≤ 1, got {self.warmup}; steps are an integer"
        if self.warmup and self.warmup_epochs is not None:
            yield "`warmup` must be 0 with `warmup_epochs`, which gives the same in epochs"
        if self.schedule == "one_cycle":
            for name, none in (("warmup", "0"), ("warmup_epochs", "null")):
                if getattr(self, name):
                    yield (
                        f"`{name}` must be {none} with `schedule`=one_cycle, which has its own "
                        "warm-up"
                    )
        for name, (usual, schedules) in _USED_BY.items():
            if self.schedule not in schedules and getattr(self, name) != usual:
                *others, last = schedules
                them = f"{', '.join(others)} and {last}" if others else last
                yield (
                    f"`{name}` must be {usual} with `schedule`={self.schedule}, which does not "
                    f"use it; only {them} {'do' if others else 'does'}"
                )
        if self.schedule == "step" and not self.milestones:
            yield "`milestones` must not be empty with `schedule`=step, e.g. [0.5, 0.75]"
        for one in self.milestones:
            if isinstance(one, float) and one >= 1:
                yield f"`milestones` as fractions must be < 1, got {one}; steps are integers"

    def parameter_groups(self, model: "nn.Module") -> list[dict[str, Any]]:
        """The model's trainable parameters, in groups of a learning rate and a weight decay.

        Weight decay applies to parameters with two or more dimensions, or to all if asked for, but
        to none that `no_decay` or the model itself excludes.

        Raises:
            ConfigError: a pattern of `no_decay` names nothing.
            UserError: there are no depths for `layer_decay`.
        """
        return grouped(
            model,
            lr=self.lr,
            weight_decay=self.weight_decay,
            decay_bias_and_norm=self.decay_bias_and_norm,
            no_decay=self.no_decay,
            layer_decay=self.layer_decay,
            lr_scale=self.lr_scale,
        )

    @override
    def lr_factor(self, total_steps: int, steps_per_epoch: int) -> Callable[[int], float]:
        """The learning rate as a share of `lr`: a function of the steps done, 0 … total_steps − 1.

        What plateau makes of it follows from what is measured, and is not in it.

        Raises:
            UserError: there is no such schedule, or the warm-up is longer than the training.
        """
        if self.schedule not in get_args(ScheduleName):
            raise UserError(
                f"opt.schedule cannot be {self.schedule!r}. "
                + did_you_mean(str(self.schedule), get_args(ScheduleName))
            )
        warmup_steps = self._warmup_steps(total_steps, steps_per_epoch)
        milestones = self._milestones(total_steps)
        schedule = self.schedule
        final, gamma = self.final_lr_ratio, self.gamma

        def factor(step: int) -> float:
            if schedule == "one_cycle":
                return _one_cycle(step, total_steps)
            if step < warmup_steps:
                return (step + 1) / warmup_steps
            if schedule in ("constant", "plateau"):
                return 1.0
            if schedule == "step":
                return gamma ** bisect_right(milestones, step)
            progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
            if schedule == "linear":
                return 1 - (1 - final) * progress
            return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

        return factor

    @property
    @override
    def described(self) -> str:
        return self.described_without({one.name for one in dataclasses.fields(ScheduledOptimizer)})

    @property
    @override
    def schedule_described(self) -> str:
        return f"opt.schedule={self.schedule}"

    @override
    def build_schedule(
        self, optimizers: Optimizers, total_steps: int, steps_per_epoch: int
    ) -> Schedule:
        factor = self.lr_factor(total_steps, steps_per_epoch)
        if self.schedule == "plateau":
            return Plateau(
                optimizers,
                factor,
                gamma=self.gamma,
                patience=self.patience,
                lowest=self.final_lr_ratio,
            )
        late = [one for one in self._milestones(total_steps) if one >= total_steps]
        if late:
            log.warning(
                "opt.milestones: the training ends after %d steps and never reaches %s.",
                total_steps,
                ", ".join(map(str, late)),
            )
        return FactorSchedule(optimizers, factor)

    def _warmup_steps(self, total_steps: int, steps_per_epoch: int) -> int:
        if self.warmup_epochs is not None:
            asked, steps = "warmup_epochs", max(1, round(self.warmup_epochs * steps_per_epoch))
        else:
            is_share = isinstance(self.warmup, float)
            asked = "warmup"
            steps = round(self.warmup * total_steps) if is_share else int(self.warmup)
            steps = max(steps, 1) if self.warmup else 0
        if steps > total_steps:
            raise UserError(
                f"opt.{asked}={getattr(self, asked)} is {steps} steps, but the whole training "
                f"has only {total_steps}."
            )
        return steps

    def _milestones(self, total_steps: int) -> Sequence[int]:
        return sorted(
            round(one * total_steps) if isinstance(one, float) else one for one in self.milestones
        )


@final
class Plateau(Schedule):
    """Multiplies the learning rate by gamma when the monitored measure no longer gets better."""

    def __init__(
        self,
        optimizers: Optimizers,
        factor: Callable[[int], float],
        *,
        gamma: float,
        patience: int,
        lowest: float,
    ) -> None:
        """Start without a reduction.

        Args:
            optimizers: what it sets the learning rates of.
            factor: the learning rate without any reduction, as a share, by the step.
            gamma: the factor of a reduction.
            patience: after how many measurements in a row without a new best.
            lowest: the smallest factor of all reductions together.
        """
        self._schedule = FactorSchedule(optimizers, lambda step: factor(step) * self._reduced)
        self._gamma, self._patience, self._lowest = gamma, patience, lowest
        self._reduced = 1.0
        self._monitor, self._best, self._failed = "", math.nan, 0

    @override
    def set_lr(self, step: int) -> None:
        self._schedule.set_lr(step)

    @override
    def lrs(self, step: int) -> Mapping[str, float]:
        return self._schedule.lrs(step)

    @override
    def measured(self, monitor: str, value: float, *, higher_is_better: bool) -> None:
        if monitor != self._monitor:  # a resumed run may have another
            self._monitor, self._best, self._failed = monitor, math.nan, 0
        is_better = value > self._best if higher_is_better else value < self._best
        if is_better or math.isnan(self._best):
            self._best, self._failed = value, 0
            return
        self._failed += 1
        if self._failed < self._patience or self._reduced <= max(self._lowest, _NOTHING):
            return
        self._reduced, self._failed = max(self._lowest, self._reduced * self._gamma), 0
        log.info(
            "No new best %s in %d measurement%s: the learning rate is now %.3g of its peak.",
            monitor,
            self._patience,
            "s" * (self._patience > 1),
            self._reduced,
        )

    @override
    def state(self) -> dict[str, Any]:
        return {
            "reduced": self._reduced,
            "monitor": self._monitor,
            "best": self._best,
            "failed": self._failed,
        }

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        self._reduced, self._monitor = state["reduced"], state["monitor"]
        self._best, self._failed = state["best"], state["failed"]


def _one_cycle(step: int, total_steps: int) -> float:
    """Cosine rise over the first 30 % of the steps, then cosine fall to almost nothing."""
    peak = _ONE_CYCLE_RISE * total_steps - 1
    if step <= peak:
        start, end, progress = _ONE_CYCLE_START, 1.0, step / peak
    else:
        start, end = 1.0, _ONE_CYCLE_END
        progress = (step - peak) / (total_steps - 1 - peak)
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
