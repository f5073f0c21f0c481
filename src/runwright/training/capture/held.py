"""All that a training step may change: kept, put back, and compared."""

import math
import random
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from runwright.training.capture.undoing import MOST_BYTES, undoing
from runwright.training.random_state import random_state, restore_random_state

_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None))
_CLOSED: Final = (type, ModuleType, FunctionType, BuiltinFunctionType, torch.device, torch.dtype)
_GENERATORS: Final = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_MOST_MEMBERS: Final = 10_000  # of a longer list only the length is looked at
_FOREIGN: Final = frozenset(
    {
        *("torch", "builtins", "numpy", "functools", "weakref", "_thread", "threading", "queue"),
        *("concurrent", "multiprocessing", "asyncio", "logging"),  # which other threads change
    }
)


class Held:
    """What some objects hold, at one moment.

    Attributes:
        tensors: the tensors in them, by where they are, e.g. `model.running_mean`.
        values: numbers, texts, and the states of generators of their own, likewise.
    """

    def __init__(
        self, objects: Mapping[str, Any], device: torch.device, *, copies: bool = False
    ) -> None:
        """Look through the objects.

        Args:
            objects: the objects by name.
            device: where the training takes place, and draws its random numbers.
            copies: whether to copy the tensors, so that they can be put back.
        """
        self.tensors: dict[str, Tensor] = {}
        self.values: dict[str, object] = {}
        self._device = device
        self._undo: list[Callable[[], object]] = []
        for place, found in _walk(objects):
            if isinstance(found, Tensor):
                self.tensors[place] = found
            elif isinstance(found, _PLAIN):
                self.values[place] = found
            else:
                if (state := _state_of(found)) is not None:
                    self.values[place] = state
                if copies:
                    self._undo += undoing(found)
        # What is done to those, a graph does not repeat.
        self._elsewhere = {
            place: _contents(tensor)
            for place, tensor in self.tensors.items()
            if tensor.device.type == "cpu" != device.type and tensor.layout is torch.strided
        }
        self.random = random_state(device)
        self._copies: dict[str, Tensor] = {}
        if copies:
            self._copies = {
                place: tensor.detach().clone()
                for place, tensor in self.tensors.items()
                # Of others, such as sparse matrices, torch cannot tell whether they have changed.
                if tensor.layout is torch.strided and not tensor.is_nested
            }

    @torch.no_grad()
    def put_back(self, *, members: bool = False) -> None:
        """Give every tensor, and every global generator, the value that it had.

        Args:
            members: whether to do the same for what is no tensor, and to put back what was
                replaced. What a graph reads must not be taken away like this.
        """
        if members:
            for undo in self._undo:
                undo()
        for place, copy in self._copies.items():
            tensor = self.tensors[place].detach()
            if not torch.equal(tensor, copy):
                tensor.copy_(copy)
        restore_random_state(self.random, self._device)

    @torch.no_grad()
    def moves(self) -> list[Tensor]:
        """How far each parameter is now from what it was."""
        return [
            tensor.detach() - self._copies[place]
            for place, tensor in self.tensors.items()
            if isinstance(tensor, nn.Parameter) and place in self._copies
        ]

    def moved(self, later: "Held") -> Iterator[str]:
        """What Python, rather than the device, has changed until later, in words.

        A graph repeats what the device does; what Python does besides happens once.
        """
        for place, value in self.values.items():
            if place in later.values and not _is_same(value, later.values[place]):
                yield f"every step changes {place}, which is no tensor"
        for place, tensor in self.tensors.items():
            other = later.tensors.get(place, tensor)
            if other is not tensor and other.data_ptr() != tensor.data_ptr():
                yield f"every step puts another tensor in the place of {place}"
        for place, contents in self._elsewhere.items():
            if contents != later._elsewhere.get(place, contents):  # noqa: SLF001  # of this class
                yield f"every step changes {place}, which is not on the device"
        of_values = self.values.keys() ^ later.values.keys()
        for place in sorted(of_values | (self.tensors.keys() ^ later.tensors.keys())):
            yield f"every step adds {place}, or takes it away"
        of_device = "cuda" if self._device.type == "cuda" else "torch"
        for name, state in self.random.items():
            if name != of_device and not torch.equal(_bits(state), _bits(later.random[name])):
                generator = {"torch": "torch's generator on the CPU"}.get(name, f"that of {name}")
                yield f"it draws random numbers from {generator}"


def _contents(tensor: Tensor) -> object:
    """What stands for the values of a tensor in main memory."""
    if tensor.is_nested or tensor.nbytes > MOST_BYTES:
        return None
    return zlib.crc32(_bits(tensor.detach().reshape(-1)).numpy().tobytes())


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return one == other


def _bits(state: Tensor) -> Tensor:
    return state.contiguous().view(torch.uint8)  # NaN stands for none in some


def _walk(objects: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Everything that can be reached from the objects, with its place."""
    seen: dict[int, object] = {}  # kept, so that nothing else gets the same identity
    waiting: deque[tuple[str, object]] = deque(objects.items())
    while waiting:
        place, found = waiting.popleft()
        if isinstance(found, _PLAIN):
            yield place, found
            continue
        if isinstance(found, _CLOSED) or id(found) in seen:
            continue
        seen[id(found)] = found
        if isinstance(found, (Tensor, np.ndarray, *_GENERATORS)):
            yield place, found
        elif _is_open(found):
            yield place, found
            waiting.extend((f"{place}.{name}", one) for name, one in _members(found))


def _is_open(found: object) -> bool:
    """Whether to look into an object."""
    return (
        isinstance(found, Mapping | list | tuple | set | frozenset | deque | nn.Module | MethodType)
        or type(found).__module__.split(".")[0] not in _FOREIGN
    )


def _state_of(found: object) -> object:
    """What stands for an object that is looked at as a whole; None for any other."""
    if isinstance(found, torch.Generator):
        return zlib.crc32(found.get_state().numpy().tobytes()) if found.device.type == "cpu" else 0
    if isinstance(found, np.random.Generator):
        return repr(found.bit_generator.state)
    if isinstance(found, np.random.RandomState):
        return zlib.crc32(repr(found.get_state(legacy=False)).encode())
    if isinstance(found, random.Random):
        return hash(found.getstate())
    if isinstance(found, np.ndarray):
        array = cast("np.ndarray[Any, Any]", found)
        is_small = array.nbytes <= MOST_BYTES and not array.dtype.hasobject
        return zlib.crc32(array.tobytes()) if is_small else array.shape
    return None


def _members(found: object) -> Iterator[tuple[str, object]]:
    if isinstance(found, Mapping):
        pairs = cast("Mapping[object, object]", found)
        numbered = enumerate(pairs.items())  # the state of an optimiser goes by the parameters
        named = ((str(n if isinstance(k, Tensor) else k), v) for n, (k, v) in numbered)
        yield from named if len(pairs) <= _MOST_MEMBERS else [("len", len(pairs))]
    elif isinstance(found, list | tuple | set | frozenset | deque):
        members = cast("list[object]", found)
        numbered = ((str(number), one) for number, one in enumerate(members))
        yield from numbered if len(members) <= _MOST_MEMBERS else [("len", len(members))]
    elif isinstance(found, nn.Module):
        yield from _of_module(found)
    elif isinstance(found, MethodType):
        yield "__self__", found.__self__
    else:
        slots = [slot for cls in type(found).__mro__ for slot in getattr(cls, "__slots__", ())]
        for name in (*getattr(found, "__dict__", {}), *slots):
            if hasattr(found, name):
                yield name, getattr(found, name)


def _of_module(module: nn.Module) -> Iterator[tuple[str, object]]:
    """What a module holds; its parts go by their own names."""
    is_of_torch = type(module).__module__.split(".")[0] == "torch"
    for name, value in vars(module).items():
        if name in ("_parameters", "_buffers", "_modules"):
            yield from cast("Mapping[str, object]", value).items()
        elif not (is_of_torch and name.startswith("_")):
            yield name, value
