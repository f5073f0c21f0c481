"""What the decorators demand of a class, and what an option checks."""

import dataclasses
import importlib
import pickle
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from programs import run_python
from runwright import compose
from runwright.domains.vision.choices import FcnFactory, SimpleCNNFactory
from runwright.domains.vision.dims import ImageDims
from runwright.errors import UserError
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
from runwright.plain import plain_values


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


@settings
class Part(Settings):
    """A part."""

    names: list[str] = option(default=["a"], doc="names")
    limits: dict[str, int] = option(default={"a": 1}, doc="limits")


def test_nothing_of_settings_can_be_changed() -> None:
    part = Part()
    for change in (lambda: setattr(part, "other", 1), lambda: delattr(part, "names")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    assert dataclasses.replace(part, names=["b"]).names == ["b"]
    assert part == Part()


def test_settings_are_equal_and_hashed_by_their_options() -> None:
    others = [Part(names=["b"]), Part(limits={"a": 2}), FcnFactory()]
    assert all(Part() != other for other in others)
    assert len({Part(), Part(), pickle.loads(pickle.dumps(Part())), *others}) == 4
    assert repr(Part()) == "Part(names=['a'], limits={'a': 1})"


def test_a_usual_member_is_made_anew_and_must_be_registered() -> None:
    @factory("plus")
    class Plus(Kind):
        """Adds."""

        amount: int = option(default=2, doc="what is added")

        def build(self, size: int) -> int:
            return size + self.amount

    @settings
    class Owner(Settings):
        """Takes kinds."""

        kind: Kind = option(usual="plus", doc="the kind")

    @settings
    class Wrong(Settings):
        """Takes a kind that there is not."""

        kind: Kind = option(usual="plsu", doc="the kind")

    assert Owner().kind == Plus()  # pyright: ignore[reportCallIssue]  # it knows no usual members
    with pytest.raises(UserError, match=r"kind_of_this_test=plsu.*Did you mean 'plus'"):
        Wrong()  # pyright: ignore[reportCallIssue]  # likewise
    with pytest.raises(TypeError, match="either default=… or usual=…, not both"):
        option(default=None, usual="plus", doc="the kind")


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


ENCODER = """
from runwright import ModelFactory, factory

@factory("{name}")
class Encoder(ModelFactory):
    "An encoder."

    def build(self, dims): ...
"""


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], object]:
    """Imports a new module of this name and content."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write_and_import(name: str, text: str) -> object:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return write_and_import


def test_a_name_that_is_taken_is_refused_with_both_places() -> None:
    with pytest.raises(TypeError) as caught:

        @factory("fcn")
        class Other(ModelFactory[ImageDims]):  # pyright: ignore[reportUnusedClass]
            """Another."""

            def build(self, dims: ImageDims) -> None: ...  # pyright: ignore[reportIncompatibleMethodOverride]

    first, one, other, advice = str(caught.value).splitlines()
    assert first == "'model=fcn' would name two factories:"
    assert re.fullmatch(r"  runwright\.domains\.vision\.fcn\.FcnFactory, .*fcn\.py:\d+", one)
    assert re.fullmatch(r"  .*test_factory\..*Other, .*test_factory\.py:\d+", other)
    assert advice == "Register one of them under another name."


def test_two_modules_cannot_take_one_name_with_classes_of_one_name(
    imported: Callable[[str, str], object],
) -> None:
    imported("one_lab", ENCODER.format(name="encoder"))
    with pytest.raises(TypeError, match=r"one_lab\.Encoder, .*one_lab\.py:4\n  other_lab\.Encoder"):
        imported("other_lab", ENCODER.format(name="encoder"))
    assert CONFIG_GROUPS["model"]["encoder"].__module__ == "one_lab"


def test_classes_of_one_name_in_two_modules_are_two_choices(
    imported: Callable[[str, str], object],
) -> None:
    imported("one_lab", ENCODER.format(name="one_encoder"))
    imported("other_lab", ENCODER.format(name="other_encoder"))
    for lab in ("one", "other"):
        config = compose(["dm=cmnist", f"model={lab}_encoder"])
        assert type(config.model).__module__ == f"{lab}_lab"
        assert pickle.loads(pickle.dumps(config)) == config
        assert plain_values(config)["model"] == {}


def test_classes_of_one_name_in_one_module_are_refused_for_pickle_finds_the_last_only(
    imported: Callable[[str, str], object],
) -> None:
    with pytest.raises(TypeError, match=r"'model=first' and 'model=second' are classes with"):
        imported("lab", ENCODER.format(name="first") + ENCODER.format(name="second"))


def test_a_module_that_is_loaded_again_and_a_cell_that_is_run_again_define_the_same(
    imported: Callable[[str, str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    imported("lab", ENCODER.format(name="encoder"))
    again = imported("lab", "# edited\n" + ENCODER.format(name="encoder"))
    assert CONFIG_GROUPS["model"]["encoder"] is vars(again)["Encoder"]

    notebook = ModuleType("notebook")  # which has no file
    monkeypatch.setitem(sys.modules, "notebook", notebook)
    for cell, name in enumerate(("mlp", "mlp", "renamed")):
        exec(compile(ENCODER.format(name=name), f"<cell {cell}>", "exec"), vars(notebook))
        assert CONFIG_GROUPS["model"][name] is vars(notebook)["Encoder"]


def test_a_script_may_be_imported_by_its_name(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(ENCODER.format(name="encoder") + "import script\n")
    run_python(script, check=True)


def test_a_group_has_one_interface(imported: Callable[[str, str], object]) -> None:
    kind = """
from runwright import Settings, factory, settings

@settings
class Kind(Settings, group="augmentation"):
    "An interface."

@factory("{name}")
class Member(Kind):
    "A member."
"""
    imported("images", kind.format(name="flip"))
    with pytest.raises(TypeError, match=r"images\.Kind, .*:\d+\n  sets\.Kind, .*sets\.py"):
        imported("sets", kind.format(name="shuffle"))


def test_a_factory_outside_every_group_is_refused() -> None:
    with pytest.raises(TypeError, match="does not inherit from a group's interface"):

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


def test_an_interface_that_was_not_decorated_is_told() -> None:
    class Kind(Settings, group="kind_without_settings"):
        """A kind."""

    with pytest.raises(TypeError, match="Kind, which Some inherits from, is not decorated. Write"):

        @factory("some")
        class Some(Kind):  # pyright: ignore[reportUnusedClass]
            """Some."""
