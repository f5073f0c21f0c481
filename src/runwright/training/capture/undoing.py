"""What gives Python objects the members back that they had, after a step that does not count."""

import random
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, cast

import numpy as np
import torch
from torch import nn

MOST_BYTES: Final = 2**24  # of a larger array the values are not looked at


def undoing(found: object) -> Iterator[Callable[[], object]]:
    """Calls that undo what is done to an object from now on, but for what is done to its members.

    A member that was replaced is put back itself; of a generator, the state.
    """
    if isinstance(found, torch.Generator):
        yield partial(found.set_state, found.get_state())
    elif isinstance(found, np.random.Generator):
        yield partial(setattr, found.bit_generator, "state", found.bit_generator.state)
    elif isinstance(found, np.random.RandomState):
        yield partial(found.set_state, found.get_state(legacy=False))
    elif isinstance(found, random.Random):
        yield partial(found.setstate, found.getstate())
    elif isinstance(found, np.ndarray):
        array = cast("np.ndarray[Any, Any]", found)
        if array.flags.writeable and array.nbytes <= MOST_BYTES:
            yield partial(np.copyto, array, array.copy())
    elif isinstance(found, dict):
        yield _refilling(cast("dict[Any, Any]", found))
    elif isinstance(found, list):
        members = cast("list[Any]", found)
        yield partial(members.__setitem__, slice(None), members.copy())
    elif isinstance(found, set | deque):
        yield partial(_replace, cast("set[Any] | deque[Any]", found), tuple(cast("Any", found)))
    else:
        yield from _attributes(found)


def _attributes(found: object) -> Iterator[Callable[[], object]]:
    own = getattr(found, "__dict__", None)
    if isinstance(own, dict):
        yield _refilling(cast("dict[Any, Any]", own))
    if isinstance(found, nn.Module):
        for name in ("_parameters", "_buffers", "_modules"):
            yield _refilling(vars(found)[name])
    for cls in type(found).__mro__:
        for name in cls.__dict__.get("__slots__", ()):
            if name not in ("__dict__", "__weakref__") and hasattr(found, name):
                yield partial(_set, found, name, getattr(found, name))


def _set(found: object, name: str, value: object) -> None:
    if getattr(found, name, None) is not value:
        object.__setattr__(found, name, value)  # a frozen class has no other way


def _refilling(there: dict[Any, Any]) -> Callable[[], None]:
    members = there.copy() if type(there) is dict else dict(there)

    def refill() -> None:
        pairs = zip(there.items(), members.items(), strict=False)
        is_same = len(there) == len(members) and all(
            key is its_key and value is its for (key, value), (its_key, its) in pairs
        )
        if not is_same:  # keys may be tensors, which are not compared
            there.clear()
            there.update(members)

    return refill


def _replace(there: set[Any] | deque[Any], members: tuple[Any, ...]) -> None:
    there.clear()
    if isinstance(there, deque):
        there.extend(members)
    else:
        there.update(members)
