"""Settings are made as dataclasses are, by one function for all."""

import inspect
from dataclasses import FrozenInstanceError, replace
from typing import ClassVar

import pytest

from runwright import Settings, option, settings


@settings
class Wide(Settings):
    """Options of which one is required."""

    of_class: ClassVar[int] = 0

    width: int = option(ge=1, doc="a number")
    depth: int = option(default=2, doc="another")
    sizes: list[int] = option(default=[1, 2], doc="several")


def test_defaults_are_for_what_is_not_given_and_lists_are_not_shared() -> None:
    one, other = Wide(width=3), Wide(width=3)
    assert (one.width, one.depth, one.sizes) == (3, 2, [1, 2])
    assert one == other
    assert one.sizes is not other.sizes
    assert replace(one, depth=5).depth == 5
    assert list(vars(Wide(depth=1, width=2))) == ["width", "depth", "sizes"]
    with pytest.raises(FrozenInstanceError):
        one.depth = 4  # pyright: ignore[reportAttributeAccessIssue]  # what the test is about


def test_what_is_not_an_option_or_lacks_is_named() -> None:
    make: type = Wide
    with pytest.raises(TypeError, match=r"Wide has no option 'widht'\. Did you mean 'width'\?"):
        make(widht=3)
    with pytest.raises(TypeError, match=r"no option 'of_class'\. Allowed: depth, sizes, width\."):
        make(width=3, of_class=1)
    with pytest.raises(TypeError, match="Wide must be given width=…"):
        make(depth=3)
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        make(3)
    with pytest.raises(ValueError, match="Wide: width must be ≥ 1, got 0"):
        make(width=0)


def test_the_options_are_in_the_signature() -> None:
    said = str(inspect.signature(Wide))
    assert said == "(*, width: int, depth: int = 2, sizes: list[int] = [1, 2])"
