"""What the decorators demand of a class, and what an option checks."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from runwright.domains.vision.choices import FcnFactory, SimpleCNNFactory
from runwright.domains.vision.dims import ImageDims
from runwright.factory import (
    CONFIG_GROUPS,
    OptionError,
    Settings,
    factory,
    option,
    settings,
    type_argument,
)
from runwright.model import ModelFactory


@settings
class Kind(Settings, ABC, group="kind_of_this_test"):
    """An interface."""

    @abstractmethod
    def build(self, size: int) -> int: ...


@pytest.fixture(autouse=True)
def forgets_factories() -> Iterator[None]:
    """What a test registers is gone after it, so that no other finds groups it does not know."""
    before = {group: dict(named) for group, named in CONFIG_GROUPS.items()}
    yield
    CONFIG_GROUPS.clear()
    CONFIG_GROUPS.update(before)


def test_a_factory_is_frozen_keyword_only_and_registered() -> None:
    @factory("square")
    class Square(Kind):
        """Squares."""

        side: int = option(default=2, ge=1, doc="length of a side")

        def build(self, size: int) -> int:
            return self.side * size

    made = Square(side=3)
    assert made.build(2) == 6
    assert CONFIG_GROUPS["kind_of_this_test"]["square"] is Square
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.side = 4  # pyright: ignore[reportAttributeAccessIssue]  # that is the point
    with pytest.raises(TypeError):
        Square(3)  # pyright: ignore[reportCallIssue]  # that is the point


def test_the_seeds_factories_are_visible_in_config_groups() -> None:
    assert CONFIG_GROUPS["model"]["fcn"] is FcnFactory
    assert CONFIG_GROUPS["model"]["cnn"] is SimpleCNNFactory
    assert {"cmnist", "celeba"} <= CONFIG_GROUPS["dm"].keys()


def test_an_option_without_a_description_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Undocumented\.side has no description"):

        @factory("undocumented")
        class Undocumented(Kind):  # pyright: ignore[reportUnusedClass]
            """Squares."""

            side: int = 2

            def build(self, size: int) -> int:
                return size


def test_a_class_without_a_docstring_is_refused() -> None:
    with pytest.raises(TypeError, match="NoDoc has no docstring"):

        @factory("no_doc")
        class NoDoc(Kind):  # pyright: ignore[reportUnusedClass]
            def build(self, size: int) -> int:
                return size


def test_a_factory_without_build_is_refused() -> None:
    with pytest.raises(TypeError, match="leaves build abstract"):

        @factory("no_build")
        class NoBuild(Kind):  # pyright: ignore[reportUnusedClass]
            """Builds nothing."""


def test_a_runtime_argument_with_the_name_of_an_option_is_refused() -> None:
    with pytest.raises(TypeError, match="known only at run time"):

        @factory("collision")
        class Collision(Kind):  # pyright: ignore[reportUnusedClass]
            """Collides."""

            size: int = option(default=1, doc="a size")

            def build(self, size: int) -> int:
                return size


def test_a_name_can_be_taken_only_once() -> None:
    with pytest.raises(TypeError, match="'model=fcn' is already FcnFactory"):

        @factory("fcn")
        class Other(ModelFactory[ImageDims]):  # pyright: ignore[reportUnusedClass]
            """Another."""

            def build(self, dims: ImageDims) -> None: ...  # pyright: ignore[reportIncompatibleMethodOverride]


def test_a_factory_outside_every_group_is_refused() -> None:
    with pytest.raises(TypeError, match="inherits from no group's interface"):

        @factory("lost")
        class Lost(Settings):  # pyright: ignore[reportUnusedClass]
            """Lost."""


def test_bounds_hold_in_python_too() -> None:
    with pytest.raises(OptionError, match=r"kernel_size must be ≥ 1, got 0"):
        SimpleCNNFactory(kernel_size=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_must_be_finite(value: float) -> None:
    with pytest.raises(OptionError, match="dropout_prob must be"):
        FcnFactory(dropout_prob=value)


def test_bounds_hold_inside_containers() -> None:
    @settings
    class Weights(Settings):
        """Weights."""

        weights: list[float] = option(default=[1.0], ge=0, doc="weights")

    with pytest.raises(OptionError, match="weights must be ≥ 0, got -1"):
        Weights(weights=[1.0, -1.0])


def test_all_rules_between_options_are_reported_with_full_keys() -> None:
    @settings
    class Range(Settings):
        """A range."""

        low: int = option(default=0, doc="the lower end")
        high: int = option(default=1, doc="the upper end")

        def problems(self) -> Iterator[str]:
            if self.low > self.high:
                yield "`low` must not exceed `high`"
            if self.low + self.high > 10:
                yield "`low` + `high` must be ≤ 10"

    with pytest.raises(OptionError) as caught:
        Range(low=9, high=2)
    assert caught.value.texts("my.range") == [
        "my.range.low must not exceed my.range.high",
        "my.range.low + my.range.high must be ≤ 10",
    ]


def test_a_mutable_default_is_not_shared() -> None:
    @settings
    class Shared(Settings):
        """Lists."""

        names: list[str] = option(default=["a"], doc="names")

    Shared().names.append("b")
    assert Shared().names == ["a"]


def test_the_dims_of_a_factory_are_read_from_its_type_argument() -> None:
    assert type_argument(FcnFactory) is ImageDims

    @factory("wide_fcn_of_this_test")
    class WideFcn(FcnFactory):
        """A subclass of a factory inherits them."""

    assert type_argument(WideFcn) is ImageDims
    del CONFIG_GROUPS["model"]["wide_fcn_of_this_test"]
