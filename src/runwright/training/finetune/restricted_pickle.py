"""Reading the tensors and plain containers in a pickle without executing anything in it.

A pickle names functions to call and classes to instantiate. Here a few names stand for functions
that rebuild a tensor, and every other name for a class that stores nothing and does nothing:
whatever the file does with it gives a `Foreign` object. So tensors can be read although objects of
another library lie next to them, and a malicious file runs nothing.

This module has what `torch.load` needs of a `pickle_module`: `Unpickler` and `load`.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, ClassVar, Final, NoReturn, Self, cast

import torch
from typing_extensions import override

_TAMPERING: Final = "the file tries to change the code that reads it"


class _Closed(type):
    """The class of classes that a pickle cannot change."""

    @override
    def __setattr__(cls, _name: str, _value: object) -> NoReturn:
        raise pickle.UnpicklingError(_TAMPERING)


class Foreign(metaclass=_Closed):
    """Stands for an object of a class that is not loaded, or for what a function would return.

    Attributes:
        what: the full name of the class or function.
    """

    what: ClassVar[str] = ""
    dump_patches: ClassVar[bool] = False  # torch would write a file where a module has this

    def __new__(cls, *_arguments: object, **_options: object) -> Self:
        """Accept any arguments."""
        return object.__new__(cls)

    def __init__(self, *_arguments: object, **_options: object) -> None:
        pass

    def __call__(self, *_arguments: object, **_options: object) -> Self:
        """Return itself: it may stand for a function that another function would return."""
        return self

    def __setstate__(self, _state: object) -> None:
        pass

    # How objects of subclasses of list, dict and set are filled:

    def append(self, _member: object) -> None:
        """Ignore a member of a list."""

    def extend(self, _members: object) -> None:
        """Ignore several members of a list."""

    def add(self, _member: object) -> None:
        """Ignore a member of a set."""

    def update(self, *_members: object) -> None:
        """Ignore several members of a set or dictionary."""

    def __setitem__(self, _key: object, _member: object) -> None:
        pass

    def __hash__(self) -> int:  # it may be the key of a dictionary
        return id(self)


class _Function:
    """A function that a pickle may call but cannot change, as it could a function of torch."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    @override
    def __setattr__(self, _name: str, _value: object) -> NoReturn:
        raise pickle.UnpicklingError(_TAMPERING)

    def __setstate__(self, _state: object) -> NoReturn:
        raise pickle.UnpicklingError(_TAMPERING)


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_rest: object) -> Any:
    """A tensor from the file, without its gradient hooks, which are code."""
    made = cast("Any", torch.empty(0, dtype=storage.dtype))
    return made.set_(storage, offset, size, stride)


def _parameter(data: Any, *_rest: object) -> Any:
    return data


def _rebuilt(function: Any, _type: object, arguments: Any, _state: object) -> Any:
    """A tensor that has attributes, without these."""
    return function(*arguments)


def _bytes(text: Any, _encoding: object = None) -> bytes:
    """Bytes, as pickles of old protocols write them."""
    return str(text).encode("latin1")


def _dictionary(*_arguments: object) -> dict[Any, Any]:
    return {}


_UNTYPED: Final = (
    "it has tensors of a type that is read from safetensors files only (uint16, float8 …)"
)
_ALLOWED: Final[dict[tuple[str, str], Any]] = {
    ("torch._utils", "_rebuild_tensor"): _Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Function(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): _Function(_parameter),
    ("torch._tensor", "_rebuild_from_type_v2"): _Function(_rebuilt),
    ("torch", "Size"): _Function(tuple),
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): _Function(_dictionary),
    ("_codecs", "encode"): _Function(_bytes),
    ("builtins", "set"): _Function(set),
    ("__builtin__", "set"): _Function(set),
    ("builtins", "frozenset"): _Function(frozenset),
    ("builtins", "bytearray"): _Function(bytearray),
    ("builtins", "complex"): _Function(complex),
}


class Unpickler(pickle.Unpickler):
    """Makes tensors and plain containers, and `Foreign` objects in place of everything else."""

    @override
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        allowed = _ALLOWED.get((module_name, global_name))
        if allowed is not None:
            return allowed
        if global_name == "UntypedStorage":
            raise pickle.UnpicklingError(_UNTYPED)
        if module_name == "torch":
            dtype = getattr(torch, global_name, None)
            if isinstance(dtype, torch.dtype):
                return dtype
        return _Closed("Foreign", (Foreign,), {"what": f"{module_name}.{global_name}"})


def load(file: IO[bytes], **options: Any) -> Any:
    """Read the next pickle in a file."""
    return Unpickler(file, **options).load()
