"""Going on with a training from a checkpoint: of the same run, or as a branch of another one."""

import contextlib
import logging
from typing import Any

from runwright.errors import UserError
from runwright.rundir.checkpoint import Checkpoint
from runwright.training.loop import Training

log = logging.getLogger(__name__)


def resume(training: Training[Any], checkpoint: Checkpoint, *, is_changed: bool = False) -> None:
    """Resume from a checkpoint; a finished training only if it would no longer end there.

    Args:
        training: the training, which has not begun.
        checkpoint: what to resume from.
        is_changed: whether the options differ from those that it was trained with, so that what
            came after it will not be repeated.

    Raises:
        UserError: the weights do not fit this model.
    """
    training.state = state = training.snapshots.restore(checkpoint)
    if state.monitor != training.monitor.name:
        log.warning("%s decides from here on; the best so far is reset.", training.monitor.name)
        state.monitor, state.best, state.leaders = training.monitor.name, None, []
        state.validations_without_best = 0
    is_last = state.step >= training.total_steps
    ends_here = is_last or state.pruned or training.monitor.is_out_of_patience(state)
    if checkpoint.info["total_steps"] != training.total_steps or not ends_here:
        state.finished = state.pruned = False
    state.finished |= is_last
    training.losses.restore(state.unread)
    if is_changed:
        training.snapshots.take_over_best(state)
    if state.finished:
        log.info(
            "The training had already finished, after step %d of %d.",
            state.step,
            training.total_steps,
        )
        return
    log.info("Resuming after step %d of %d.", state.step, training.total_steps)
    _warn_of_stretched_schedule(training, checkpoint)


def branch(training: Training[Any], checkpoint: Checkpoint) -> None:
    """Continue from a checkpoint of another run, which stays as it is.

    Raises:
        UserError: the weights are not of this model, or the training ends there.
    """
    training.state = state = training.snapshots.restore(checkpoint, is_own=False)
    if state.step >= training.total_steps:
        raise UserError(
            f"checkpoint.resume_from={checkpoint.path} is of step {state.step}, and the "
            f"training has {training.total_steps}. Take an earlier one, or ask for more "
            "training.epochs or training.max_steps."
        )
    if state.monitor != training.monitor.name or not training.snapshots.adopt_best(
        state, checkpoint
    ):
        log.info("The best weights are counted anew from here on.")
        state.monitor, state.best, state.leaders = training.monitor.name, None, []
        state.validations_without_best = 0
    if training.monitor.is_out_of_patience(state):
        state.validations_without_best = 0
    state.finished = state.pruned = False
    training.losses.restore(state.unread)
    log.info(
        "Continuing from %s, after step %d of %d.",
        checkpoint.path,
        state.step,
        training.total_steps,
    )
    _warn_of_stretched_schedule(training, checkpoint)


def _warn_of_stretched_schedule(training: Training[Any], checkpoint: Checkpoint) -> None:
    """Say what happens to the learning rate when the length of the schedule has changed.

    It is a function of the step and of the total number of steps, which has changed.
    """
    opt, steps_before = training.built.config.opt, checkpoint.info["total_steps"]
    if training.total_steps == steps_before:
        return
    with contextlib.suppress(UserError):  # it fits this length, and perhaps not the other
        before, now = (
            opt.lr_factor(total, training.steps_per_epoch)(training.state.step)
            for total in (steps_before, training.total_steps)
        )
        if before == now:
            return
    lr = checkpoint.info.get("lr")  # missing in older ones
    log.warning(
        "%s now spans %d steps, not %d: the learning rate continues at %.3g%s.",
        opt.schedule_described,
        training.total_steps,
        steps_before,
        training.step.lr(training.state.step),
        "" if lr is None else f", after {lr:.3g} in the last step",
    )
