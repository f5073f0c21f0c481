"""The size of a model that may be on the meta device, and of the memory to train it."""

import contextlib
import os
from collections.abc import Collection, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from runwright.errors import UserError
from runwright.factory import name_of
from runwright.optimizers.optimizer_factory import OptimizerFactory

if TYPE_CHECKING:
    import torch
    from torch import nn

# More tensors than any real model has: building them takes minutes, and each step seconds.
_MOST_TENSORS: Final = 200_000

# Weights, gradients and the state of any optimiser, with room to spare.
_MOST_COPIES: Final = 6


@attrs.frozen(kw_only=True)
class Size:
    """The size of a model, and of the memory to train it besides the activations.

    Attributes:
        parameters: their number; `trainable` of them are trained.
        weights: bytes of the parameters and buffers.
        training: bytes of the weights, the gradients and the optimiser's state; None when the
            optimiser does not reveal its state on the meta device.
        optimizer_problem: why there is no optimiser for these parameters, or None.
    """

    parameters: int
    trainable: int
    weights: int
    training: int | None
    optimizer_problem: str | None = None


def size_of(module: "nn.Module", opt: OptimizerFactory) -> Size:
    """Measure a model on the meta device; its optimiser takes a step there."""
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
        state = _optimizer_state(opt.optimizers(module).values(), trainable)
    except UserError as error:
        return attrs.evolve(size, optimizer_problem=str(error))
    except RuntimeError as error:
        problem = f"opt={name_of(type(opt))}, {opt.described}: a step fails: {error}"
        return attrs.evolve(size, optimizer_problem=problem)
    if state is None:
        return size
    return attrs.evolve(size, training=weights + _bytes(trainable) + state)


def does_not_fit(named: str, why: str) -> UserError:
    """What to say when a part needs more memory than there is.

    Args:
        named: the part as the user chose it, `model=fcn`.
        why: what it takes, or what was said when it could not be had.
    """
    group = named.partition("=")[0]
    return UserError(
        f"{named} does not fit into memory with these options: {why}. Make it smaller with the "
        f"options under {group} (--help shows them), or use another device (gpu)."
    )


@contextlib.contextmanager
def bounded(named: str) -> Generator[None]:
    """Within this block, a model with far too many layers is not built to the end.

    Args:
        named: what the user calls it, `model=fcn`.

    Raises:
        UserError: it would have more parameter tensors than any real model.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    count = 0

    def registered(*_: Any) -> None:
        nonlocal count
        count += 1
        if count > _MOST_TENSORS:
            raise UserError(
                f"{named} has more than {_MOST_TENSORS:,} parameter tensors with these "
                f"options: it would take minutes to build. Make it smaller with the options under "
                "model (--help shows them)."
            )

    hook = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        hook.remove()


def refuse_without_memory(
    named: str, module: "nn.Module", opt: OptimizerFactory, *, gpu: int, is_trained: bool
) -> None:
    """Make sure that this machine, or its GPU, has the memory that a model needs at least.

    Args:
        named: what the user calls the model.
        module: the model, on the meta device.
        opt: its optimiser.
        gpu: the device that it is for, as in `Config`.
        is_trained: whether gradients and the optimiser's state are needed as well.

    Raises:
        UserError: it does not; gives the figures.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    device, name = _memory_of_gpu(gpu) or (machine, "this machine")
    weights = _bytes([*module.parameters(), *module.buffers()])
    training = None
    if is_trained and weights * _MOST_COPIES > device:  # measuring takes a step of the optimiser
        training = size_of(module, opt).training
    for needed, what, there, where in (
        (weights, "its weights", machine, "this machine"),  # where they are made
        (weights, "its weights", device, name),
        (training or 0, "its weights, their gradients and the optimiser's state", device, name),
    ):
        if needed > there:
            why = f"{what} take {_gigabytes(needed)}, and {where} has {_gigabytes(there)}"
            raise does_not_fit(named, why)


def _memory_of_gpu(gpu: int) -> tuple[int, str] | None:
    """The bytes and the name of a CUDA device; None if there is no device of this number."""
    import torch

    if gpu < 0 or not torch.cuda.is_available() or gpu >= torch.cuda.device_count():
        return None
    properties = cast("Any", torch.cuda).get_device_properties(gpu)
    return int(properties.total_memory), f"the {properties.name}"


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB"


def _optimizer_state(
    optimizers: "Collection[torch.optim.Optimizer]", parameters: "list[nn.Parameter]"
) -> int | None:
    """Bytes of the state that the optimisers make in their first step; None if unknown."""
    import torch

    for parameter in parameters:
        parameter.grad = torch.empty_like(parameter)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            # The plain implementation is the one that runs on the meta device.
            plain = {name: False for name in ("fused", "foreach", "capturable") if name in group}
            group.update(plain)
        try:
            optimizer.step()
        except RuntimeError as error:
            if "meta" not in str(error):
                raise
            # It reads a value, which does not exist here, but only after it has made its state.
            own = [p for group in optimizer.param_groups for p in group["params"]]
            if not all(parameter in optimizer.state for parameter in own):
                return None
    states: list[dict[str, Any]] = [s for one in optimizers for s in one.state.values()]
    tensors = [value for state in states for value in state.values()]
    return _bytes([t for t in tensors if isinstance(t, torch.Tensor) and t.ndim])  # no counters


def _bytes(tensors: "Sequence[torch.Tensor]") -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
