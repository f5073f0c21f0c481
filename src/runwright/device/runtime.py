"""What is known only at run time: the device, the seed, the run directory."""

import contextlib
import logging
import os
import random
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np
import torch

from runwright.device.generators import generators_kept
from runwright.errors import UserError
from runwright.storage.kept import kept, kept_tensors

log = logging.getLogger(__name__)

NO_ACCELERATOR = "No CUDA device was found: running on {instead}."


@attrs.frozen(kw_only=True)
class Runtime:
    """What a data module needs to know besides its options.

    Attributes:
        device: where the model is trained and the batches must be.
        seed: the seed of every random choice.
        run_dir: the directory that the run writes to. While data are built by a run that is to
            overwrite another, a folder in it, whose contents move to it: not to be remembered.
        training_dir: the directory of the training: the same in stage `fit`, and where the weights
            are from in any other.
        trains: whether this is the training; what it has made of its data, others read.
    """

    device: torch.device
    seed: int
    run_dir: Path
    training_dir: Path = attrs.field(
        default=attrs.Factory(lambda self: cast("Runtime", self).run_dir, takes_self=True)
    )
    trains: bool = True

    def kept(self, name: str, make: Callable[[], Any] | None = None) -> Any:
        """What a training makes of its data, and whatever comes later reads: a vocabulary, say.

        The training makes it, once, and keeps it in `kept/` of its directory. When it goes on, in
        another stage, and in `load`, the same is read from there.

        Args:
            name: what it is called, e.g. `vocabulary`.
            make: makes it in the training, of what JSON has: lists, dictionaries, numbers, text.

        Raises:
            UserError: the training has not kept it, or the file is damaged.
        """
        return kept(self.training_dir, name, make if self.trains else None)

    def kept_tensors(
        self, name: str, make: Callable[[], Mapping[str, torch.Tensor]] | None = None
    ) -> dict[str, torch.Tensor]:
        """The same for tensors by name, on the CPU; see `kept`.

        Raises:
            UserError: the training has not kept them, or the file is damaged.
        """
        return kept_tensors(self.training_dir, name, make if self.trains else None)


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


@contextlib.contextmanager
def global_state_kept() -> Generator[None]:
    """Leave random generators and torch's settings as they were found: in a notebook, others' too.

    Within this context a run may choose its own; the next run, or cell, finds none of it.
    """
    cudnn = torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    precision = torch.get_float32_matmul_precision()
    try:
        with generators_kept():
            yield
    finally:
        cudnn.deterministic, cudnn.benchmark = flags
        if deterministic != torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(deterministic)
        choose_float32_precision(precision)


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
