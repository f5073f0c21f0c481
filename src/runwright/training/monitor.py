"""The measure that decides which weights are best, and when to stop."""

import logging
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from runwright.caller import Reporter
from runwright.config import LAST, TrainingCfg
from runwright.device.distributed import World
from runwright.errors import UserError, did_you_mean
from runwright.objective import Objective
from runwright.training.state import TrainState

log = logging.getLogger(__name__)

_ALONE: Final = World()

TRAIN_LOSS: Final = "train_loss"
"""The one measure of training steps that can decide; all others come from a validation."""


class Monitor:
    """Judges what was measured.

    Attributes:
        name: the measure that decides.
        higher_is_better: whether more of it is better.
        selects: whether it does decide, and not simply the last weights are kept.
    """

    def __init__(
        self,
        cfg: TrainingCfg,
        objective: Objective[Any],
        *,
        validation: Collection[str],
        keep_best: int = 1,
        reporter: Reporter | None = None,
        world: World = _ALONE,
    ) -> None:
        """Choose the measure, of these validation splits.

        Raises:
            UserError: it is unknown, or contradicts `training.monitor_mode`.
        """
        self.name, self.higher_is_better = choose_monitor(cfg, objective, validation=validation)
        self.selects = cfg.monitor != LAST
        if not validation and self.selects:
            log.info(
                "There are no validation data: the training loss decides which weights are best."
            )
        self._keep_best = keep_best
        self._patience = cfg.early_stopping or math.inf
        self._reporter = reporter
        self._world = world

    def is_among_best(self, state: TrainState, measures: Mapping[str, float]) -> bool:
        """Whether these measures are among the best so far; records them in the state.

        Raises:
            UserError: the monitored one is not among them.
        """
        if self.name not in measures:
            raise UserError(
                f"training.monitor: nothing called '{self.name}' is measured. "
                + did_you_mean(self.name, measures)
            )
        value = measures[self.name]
        if math.isnan(value):
            log.warning("%s is undefined at step %d.", self.name, state.step)
        if self.selects and not self._is_new_best(state, value):
            state.validations_without_best += 1
        else:
            state.best, state.best_step, state.best_measures = value, state.step, dict(measures)
            state.validations_without_best = 0
        return self._takes_the_lead(state, (state.step, value))

    def should_prune(self, state: TrainState, measures: Mapping[str, float]) -> bool:
        """Whether to end this training because others do better, reporting its measure."""
        value = measures[self.name]
        if self._reporter is None or math.isnan(value):
            prunes = False
        else:
            prunes = self._reporter.report(state.step, value)
        return self._world.any(prunes)[0]

    def is_out_of_patience(self, state: TrainState) -> bool:
        """Whether there were too many validations in a row without a new best."""
        return state.validations_without_best >= self._patience

    def _takes_the_lead(self, state: TrainState, new: tuple[int, float]) -> bool:
        """Whether a validation, step and value, is among the best, which the state takes down."""
        if not self.selects:
            state.leaders = [new]
        elif not math.isnan(new[1]):
            ranked = [*state.leaders, new]
            ranked.sort(key=lambda one: one[1], reverse=self.higher_is_better)  # equals stay
            # Weights of before a change may be of a step that is done once more: one of them stays.
            by_step: dict[int, tuple[int, float]] = {}
            for one in ranked:
                by_step.setdefault(one[0], one)
            state.leaders = list(by_step.values())[: self._keep_best]
        return any(one is new for one in state.leaders)

    def _is_new_best(self, state: TrainState, value: float) -> bool:
        if math.isnan(value) or state.best is None:
            return not math.isnan(value)
        return value > state.best if self.higher_is_better else value < state.best


def known_measures(
    objective: Objective[Any], validation: Collection[str] = ("val",)
) -> dict[str, bool]:
    """Whether higher is better, for every measure for which that is known."""
    measured = {"loss": False, **objective.higher_is_better}
    return {
        TRAIN_LOSS: False,
        **{f"{split}_{name}": way for split in validation for name, way in measured.items()},
    }


def choose_monitor(
    cfg: TrainingCfg, objective: Objective[Any], *, validation: Collection[str] | None = None
) -> tuple[str, bool]:
    """The measure that decides which weights are best, and whether more of it is better.

    Args:
        cfg: names it, or leaves it to the objective.
        objective: knows which way is better.
        validation: the names of the validation splits; None before the data are read, where a
            measure of any but `train` may come to be known.

    Raises:
        UserError: the measure and its direction are unknown; or the direction is known, and
            `training.monitor_mode` contradicts it.
    """
    wanted = None if cfg.monitor == LAST else cfg.monitor
    if validation is not None and not validation and wanted not in (None, TRAIN_LOSS):
        raise UserError(
            f"training.monitor={cfg.monitor}: there are no validation data. Leave it out, and "
            "the training loss decides which weights are best."
        )
    splits = ("val",) if validation is None else validation
    name = wanted or (f"val_{objective.monitor}" if splits else TRAIN_LOSS)
    known = known_measures(objective, splits)
    may_be = {} if validation is not None else known_measures(objective, _splits_meant(name, known))
    if (more_is_better := known.get(name, may_be.get(name))) is not None:
        mode = "max" if more_is_better else "min"
        if cfg.monitor_mode not in (None, mode):
            raise UserError(
                f"training.monitor_mode={cfg.monitor_mode} would keep the worst weights: for "
                f"{name}, {'higher' if more_is_better else 'lower'} is better. Leave it out."
            )
        return name, more_is_better
    # The first validation knows.
    is_of_a_split = split_of(name, splits) is not None
    is_of_a_split |= validation is None and bool(re.match(r"(?!train_)[^_]+_", name))
    if cfg.monitor_mode is not None and is_of_a_split:
        return name, cfg.monitor_mode == "max"
    raise UserError(
        f"training.monitor={name}: no validation is known to measure that. "
        f"{did_you_mean(name, [*known, LAST])} If one does, say which way is better with "
        "training.monitor_mode=max or min."
    )


def split_of(measure: str, validation: Collection[str]) -> str | None:
    """The validation split that a measure is of, by its name: `val` of `val_accuracy`."""
    return next((split for split in validation if measure.startswith(f"{split}_")), None)


def measure_to_report(
    cfg: TrainingCfg, objective: Objective[Any], validation: Collection[str]
) -> tuple[str, str]:
    """The measure that a training would monitor: its split, and what it is called on any split.

    The data of a stage may lack a split that the training had.

    Raises:
        UserError: as for `choose_monitor`, whether or not there are validation data.
    """
    splits = {"val", *validation}
    if cfg.monitor is not None:
        splits |= {*_splits_meant(cfg.monitor, known_measures(objective))}
    name, _ = choose_monitor(cfg, objective, validation=splits)
    split = split_of(name, splits)
    return ("val", "loss") if split is None else (split, name.removeprefix(f"{split}_"))


def _splits_meant(name: str, known: Collection[str]) -> list[str]:
    """The splits of which one of the known measures would be that of this name."""
    measures = {of_val.removeprefix("val_") for of_val in known if of_val.startswith("val_")}
    splits = [name.removesuffix(f"_{m}") for m in measures if name.endswith(f"_{m}")]
    return [split for split in splits if split not in ("", "train")]
