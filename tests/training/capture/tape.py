"""A CUDA graph's way of repeating a step, on a CPU: its operations again, on the same tensors.

As in a graph, what Python does besides happens once, when the step is recorded: numbers stay what
they were, and a tensor that is put in another's place is not seen. Random numbers are drawn anew.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape:
    """Records on the CPU; see `Recorder`. To record, it carries the step out."""

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        with _Recording() as recording:
            function()
        return recording.replay

    def rehearsing(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def refusing_to_wait(self) -> contextlib.AbstractContextManager[Any]:
        return _Refusing()


class _Refusing(TorchDispatchMode):
    """Refuses what would have to wait for a GPU: to read a number from a tensor."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("called a synchronizing CUDA operation")
        return func(*args, **(kwargs or {}))


class _Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self._done: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        self._done.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, result in self._done:
            again = func(*args, **kwargs)
            where = {_storage(tensor) for tensor in _tensors((args, kwargs))}
            for before, now in zip(_tensors(result), _tensors(again), strict=True):
                if _storage(before) not in where:  # else it was written where it belongs
                    before.copy_(now)


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _storage(tensor: Tensor) -> int:
    if tensor.layout is not torch.strided:
        return id(tensor)
    return tensor.untyped_storage().data_ptr()
