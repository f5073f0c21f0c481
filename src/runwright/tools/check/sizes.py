"""How large a model is: built on torch's meta device, which holds shapes and no numbers."""

import contextlib
import functools
import io
import sys
import traceback
import warnings
from collections.abc import Generator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from runwright.dims import Dims
from runwright.errors import UserError
from runwright.extras import MissingExtraError
from runwright.model import ModelFactory
from runwright.optimisation import OptimisationCfg

if TYPE_CHECKING:
    import torch
    from torch import nn


@attrs.frozen(kw_only=True)
class Size:
    """The size of a model, and of what training it takes beside the activations.

    Attributes:
        parameters: their number; `trainable` of them are trained.
        weights: bytes of the parameters and buffers.
        training: bytes of the weights, the gradients and the optimiser's state; None when the
            optimiser does not tell its state on the meta device.
        optimiser_problem: why there is no optimiser for these parameters, or None.
    """

    parameters: int
    trainable: int
    weights: int
    training: int | None
    optimiser_problem: str | None = None


@attrs.frozen
class Misfit:
    """The options leave no valid model for these data: the factory says why."""

    reason: str


@attrs.frozen
class Unmeasured:
    """The model may well be right, but cannot be built without memory, a download or an extra."""

    reason: str


@attrs.frozen
class Broken:
    """The factory raised what is no message to its user: a bug."""

    reason: str


Outcome: TypeAlias = Size | Misfit | Unmeasured | Broken


def measure(model: ModelFactory, dims: Dims, opt: OptimisationCfg) -> Outcome:
    """Build a model for data of these Dims, and its optimiser, on the meta device."""
    try:
        with nothing_is_real():
            model.preflight()
            module = model.build(dims)
        return _size(module, opt)
    except Exception as error:  # noqa: BLE001  # a bug in one factory must not hide the others' faults
        return explain(error)


def explain(error: Exception) -> Misfit | Unmeasured | Broken:
    """What an exception says that was raised while something was built on the meta device."""
    if _was_refused(error):
        return Unmeasured("it starts from weights that would have to be downloaded")
    if isinstance(error, MissingExtraError):
        return Unmeasured(str(error).removesuffix("."))
    if isinstance(error, UserError):
        return Misfit(str(error))
    first = next(iter(str(error).splitlines()), "")
    if isinstance(error, RuntimeError) and "meta" in first:  # NotImplementedError is one as well
        return Unmeasured(f"it cannot be built without memory: {first}")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    where = (own or frames)[-1]
    place = f"{Path(where.filename).name}, line {where.lineno}"
    return Broken(f"{type(error).__name__}: {first} ({place})")


@contextlib.contextmanager
def nothing_is_real() -> Generator[None]:
    """In this block torch allocates nothing, and nothing is fetched from the network."""
    import torch

    said = io.StringIO()
    refused = False
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            _without_network(),
            torch.device("meta"),
        ):
            # Weights that were fetched before are loaded into nothing.
            warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter")
            yield
    except Exception as error:
        refused = _was_refused(error)
        raise
    finally:
        if not refused:  # else it says "Downloading …", which is not so
            sys.stderr.write(said.getvalue())


class DownloadRefusedError(OSError):
    """Something wanted to download while only sizes were asked for."""


_NETWORK: Final = frozenset({"urllib.Request", "socket.getaddrinfo"})
_refusing: Final = ContextVar("refusing", default=False)


@contextlib.contextmanager
def _without_network() -> Generator[None]:
    """Refuse every attempt to reach the network, by whichever library."""
    _watch_network()
    before = _refusing.set(True)
    try:
        yield
    finally:
        _refusing.reset(before)


@functools.cache  # once in a process: an audit hook cannot be taken away again
def _watch_network() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, _arguments: Any) -> None:
    if event in _NETWORK and _refusing.get():
        raise DownloadRefusedError("nothing is downloaded to learn the size of a model")


def _was_refused(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, DownloadRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _size(module: "nn.Module", opt: OptimisationCfg) -> Size:
    parameters = list(module.parameters())
    trainable = [p for p in parameters if p.requires_grad]
    weights = _bytes(parameters) + _bytes(list(module.buffers()))
    size = Size(
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in trainable),
        weights=weights,
        training=None,
    )
    try:
        state = _optimizer_state(opt.build(module), trainable)
    except UserError as error:
        return attrs.evolve(size, optimiser_problem=str(error))
    except RuntimeError as error:
        problem = f"opt.optimizer_cls={opt.optimizer_cls}: a step fails: {error}"
        return attrs.evolve(size, optimiser_problem=problem)
    if state is None:
        return size
    return attrs.evolve(size, training=weights + _bytes(trainable) + state)


def _optimizer_state(
    optimizer: "torch.optim.Optimizer", parameters: "list[nn.Parameter]"
) -> int | None:
    """Bytes of the state that the optimiser makes in its first step; None if it cannot be told."""
    import torch

    for parameter in parameters:
        parameter.grad = torch.empty_like(parameter)
    for group in optimizer.param_groups:
        # The plain implementation is the one that runs on the meta device.
        group.update({name: False for name in ("fused", "foreach") if name in group})
    try:
        optimizer.step()
    except RuntimeError as error:
        if "meta" not in str(error):
            raise
        # It reads a value, which is not there, but has made its state before.
        if not all(parameter in optimizer.state for parameter in parameters):
            return None
    states: list[dict[str, Any]] = list(optimizer.state.values())
    tensors = [value for state in states for value in state.values()]
    return _bytes([t for t in tensors if isinstance(t, torch.Tensor) and t.ndim])  # no counters


def _bytes(tensors: "Sequence[torch.Tensor]") -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
