"""The measure that decides which weights are best, and when to stop."""

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from runwright.caller import Reporter
from runwright.config import TrainingCfg
from runwright.distributed import World
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
    """

    def __init__(
        self,
        cfg: TrainingCfg,
        objective: Objective[Any],
        *,
        has_validation: bool,
        reporter: Reporter | None = None,
        world: World = _ALONE,
    ) -> None:
        """Choose the measure.

        Raises:
            UserError: it is unknown, or contradicts `training.monitor_mode`.
        """
        if not has_validation:
            log.info(
                "There are no validation data: the training loss decides which weights are best."
            )
        self.name, self.higher_is_better = choose_monitor(
            cfg, objective, has_validation=has_validation
        )
        self._patience = cfg.early_stopping or math.inf
        self._reporter = reporter
        self._world = world

    def is_best(self, state: TrainState, measures: Mapping[str, float]) -> bool:
        """Whether these measures are the best so far; records it in the state.

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
        if math.isnan(value) or not (state.best is None or self._is_better(value, state.best)):
            state.validations_without_best += 1
            return False
        state.best, state.best_step, state.best_measures = value, state.step, dict(measures)
        state.validations_without_best = 0
        return True

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

    def _is_better(self, value: float, best: float) -> bool:
        return value > best if self.higher_is_better else value < best


def known_measures(objective: Objective[Any]) -> dict[str, bool]:
    """Whether higher is better, for every measure for which that is known."""
    measured = {"loss": False, **objective.higher_is_better}
    return {TRAIN_LOSS: False, **{f"val_{name}": better for name, better in measured.items()}}


def choose_monitor(
    cfg: TrainingCfg, objective: Objective[Any], *, has_validation: bool
) -> tuple[str, bool]:
    """The measure that decides which weights are best, and whether more of it is better.

    Raises:
        UserError: the measure and its direction are unknown; or the direction is known, and
            `training.monitor_mode` contradicts it.
    """
    if not has_validation and cfg.monitor not in (None, TRAIN_LOSS):
        raise UserError(
            f"training.monitor={cfg.monitor}: there are no validation data. Leave it out, and "
            "the training loss decides which weights are best."
        )
    name = cfg.monitor or (f"val_{objective.monitor}" if has_validation else TRAIN_LOSS)
    known = known_measures(objective)
    if name in known:
        mode = "max" if known[name] else "min"
        if cfg.monitor_mode not in (None, mode):
            raise UserError(
                f"training.monitor_mode={cfg.monitor_mode} would keep the worst weights: for "
                f"{name}, {'higher' if known[name] else 'lower'} is better. Leave it out."
            )
        return name, known[name]
    if cfg.monitor_mode is not None and name.startswith("val_"):  # the first validation will tell
        return name, cfg.monitor_mode == "max"
    raise UserError(
        f"training.monitor={name}: no validation is known to measure that. "
        f"{did_you_mean(name, known)} If one does, say which way is better with "
        "training.monitor_mode=max or min."
    )


def measure_to_report(cfg: TrainingCfg, objective: Objective[Any]) -> str:
    """The measure that a training would monitor, by its name on any split: `accuracy`.

    Raises:
        UserError: as for `choose_monitor`, whether or not there are validation data.
    """
    name, _ = choose_monitor(cfg, objective, has_validation=True)
    return "loss" if name == TRAIN_LOSS else name.removeprefix("val_")
