"""Dims: the frozen facts about the data that a model is built from."""

import types
import typing
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Dims:
    """Base of the values that a data module publishes and a model is built from.

    A domain defines one subclass (`ImageDims(channels, height, width, num_classes)`); a factory
    names the one that it publishes or accepts as its type argument: `ModelFactory[ImageDims]`.
    """


def accepts(accepted: Any, published: type[Dims]) -> bool:
    """Whether a factory with the type argument `accepted` fits data that publish `published`.

    Args:
        accepted: a Dims class, a union of them, or None or Any, which accept all.
        published: the class of the Dims of the data.
    """
    if accepted is None or accepted is Any:
        return True
    if typing.get_origin(accepted) in (typing.Union, types.UnionType):
        return any(accepts(member, published) for member in typing.get_args(accepted))
    return isinstance(accepted, type) and issubclass(published, accepted)
