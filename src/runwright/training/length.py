"""How long a training is: the steps of an epoch, all of them, and those between validations."""

from runwright.config import TrainingCfg
from runwright.errors import UserError


def steps_per_epoch(num_batches: int, batches_per_step: int, cfg: TrainingCfg) -> int:
    """The steps that the batches of an epoch suffice for.

    Raises:
        UserError: they do not suffice for one.
    """
    if num_batches >= batches_per_step:
        return num_batches // batches_per_step
    accumulated = cfg.accumulate_grad_batches
    said = f"training.accumulate_grad_batches={accumulated}"
    if batches_per_step > accumulated:
        said = f"the {batches_per_step} of a step: {batches_per_step // accumulated} times {said}"
    raise UserError(f"An epoch has {num_batches} batches, fewer than {said}.")


def total_steps(cfg: TrainingCfg, in_epoch: int) -> int:
    """The steps of the whole training, of which `in_epoch` make an epoch."""
    limits = [cfg.max_steps] if cfg.max_steps is not None else []
    if cfg.epochs is not None:
        limits.append(cfg.epochs * in_epoch)
    return min(limits)


def validation_interval(cfg: TrainingCfg, in_epoch: int) -> int:
    """After how many steps it is validated, of which `in_epoch` make an epoch."""
    if isinstance(cfg.val_every, float):
        return max(1, round(cfg.val_every * in_epoch))
    return cfg.val_every
