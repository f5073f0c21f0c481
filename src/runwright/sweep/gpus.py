"""The GPUs of this machine that the slots of a sweep take in turn."""

from typing import Any, Final, cast

from omegaconf import DictConfig, ListConfig

from runwright.errors import UserError

_ALL: Final = "all"


def chosen_gpus(gpus: Any, config: DictConfig) -> list[int]:
    """The numbers of the GPUs; none if each trial runs where `gpu` says.

    Args:
        gpus: `hydra.sweeper.gpus`.
        config: the composed configuration of the sweep.

    Raises:
        UserError: there are no such GPUs, or they are not for the sweep to choose.
    """
    if gpus is None:
        return []
    if not str(config.hydra.launcher._target_).endswith(("BasicLauncher", "JoblibLauncher")):
        raise UserError(
            "hydra.sweeper.gpus is for trials on this machine; on a cluster, the options of its "
            "launcher say which GPU a job gets. Leave it out."
        )
    typed = [one for one in config.hydra.overrides.task if str(one).startswith("gpu=")]
    if typed:
        raise UserError(f"hydra.sweeper.gpus chooses the GPU of each trial; leave out {typed[0]}.")
    if gpus == _ALL:
        return _every_gpu()
    numbers = list(cast("Any", gpus)) if isinstance(gpus, list | ListConfig) else None
    if not numbers or not all(type(one) is int and one >= 0 for one in numbers):
        raise UserError(
            f"hydra.sweeper.gpus must be all, or a list of the numbers of GPUs such as [0,1], got "
            f"{gpus!r}."
        )
    return numbers


def _every_gpu() -> list[int]:
    import torch

    count = torch.cuda.device_count()
    if not count:
        raise UserError("hydra.sweeper.gpus=all: this machine has no CUDA device. Leave it out.")
    return list(range(count))
