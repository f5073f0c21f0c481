"""What is known only at run time: the device, the seed, the run directory."""

import logging
import os
import random
from pathlib import Path
from typing import cast

import attrs
import numpy as np
import torch

from runwright.errors import UserError

log = logging.getLogger(__name__)

NO_ACCELERATOR = "No CUDA device was found: running on {instead}."


@attrs.frozen(kw_only=True)
class Runtime:
    """What a data module needs to know besides its options.

    Attributes:
        device: where the model is trained and the batches must be.
        seed: the seed of every random choice.
        run_dir: the directory that the run writes to.
        training_dir: the directory of the training: the same in stage `fit`, and where the weights
            are from in any other. What data must keep for later stages (a vocabulary, the
            categories) is written there in the training, and read from there.
    """

    device: torch.device
    seed: int
    run_dir: Path
    training_dir: Path = attrs.field(
        default=attrs.Factory(lambda self: cast("Runtime", self).run_dir, takes_self=True)
    )


def choose_device(gpu: int) -> torch.device:
    """The device that `gpu` stands for: −1 is the CPU, 0 and above a CUDA index.

    Where there is no CUDA device at all, say so once and use Apple's MPS or the CPU.

    Raises:
        UserError: there are CUDA devices, but not this one.
    """
    if gpu < 0:
        return torch.device("cpu")
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        if gpu >= count:
            names = ", ".join(f"{i} ({torch.cuda.get_device_name(i)})" for i in range(count))
            raise UserError(
                f"gpu={gpu} does not exist. CUDA devices here: {names}. gpu=-1 is the CPU."
            )
        return torch.device("cuda", gpu)
    if torch.backends.mps.is_available():
        log.info(NO_ACCELERATOR.format(instead="Apple's MPS"))
        return torch.device("mps")
    threads = torch.get_num_threads()
    plural = "" if threads == 1 else "s"
    log.info(NO_ACCELERATOR.format(instead=f"the CPU ({threads} thread{plural})"))
    return torch.device("cpu")


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seed Python, NumPy and torch; with `deterministic`, allow only bit-reproducible kernels."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # libraries that draw from the global state
    torch.manual_seed(seed)
    if deterministic:
        # cuBLAS reads this when its first handle is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if deterministic != torch.are_deterministic_algorithms_enabled():  # setting it takes seconds
        torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = False


def choose_float32_precision(precision: str) -> None:
    """Choose how exact products of float32 matrices are in this process, in torch's words."""
    if precision != torch.get_float32_matmul_precision():
        torch.set_float32_matmul_precision(precision)
