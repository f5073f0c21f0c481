"""Options that follow another option, where what is chosen has it."""

from pathlib import Path

import pytest

from programs import run_python

LAB = '''
from runwright import DataModule, Dims, ModelFactory, ObjectiveFactory, compose, factory, option

@factory("numbers")
class Numbers(DataModule[Dims]):
    """Numbers in rows."""
    default_objective = "none"
    width: int = option(default=4, ge=1, follows="model.width", doc="numbers in a row")
    def build(self, runtime): ...

@factory("wide")
class Wide(ModelFactory[Dims]):
    """A model of a width."""
    width: int = option(default=9, doc="width")
    def build(self, dims): ...

@factory("plain")
class Plain(ModelFactory[Dims]):
    """A model without one."""
    def build(self, dims): ...

@factory("none")
class Nothing(ObjectiveFactory[Dims]):
    """An objective."""
    def build(self, dims, device): ...

def width(*overrides):
    return compose(["dm=numbers", *overrides], conf=None).dm.width
'''


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "lab.py").write_text(LAB)
    return tmp_path


def evaluated(lab: Path, code: str) -> str:
    done = run_python("-c", f"from lab import *\n{code}", cwd=lab)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("overrides", "width"),
    [
        (("model=wide",), 9),
        (("model=wide", "model.width=3"), 3),
        (("model=wide", "dm.width=5"), 5),
        (("model=plain",), 4),
    ],
)
def test_the_value_is_that_of_the_other_option_unless_given(
    lab: Path, overrides: tuple[str, ...], width: int
) -> None:
    assert evaluated(lab, f"print(width(*{overrides!r}))") == str(width)


def test_in_python_the_default_stays(lab: Path) -> None:
    assert evaluated(lab, "print(Numbers().width)") == "4"


def test_a_value_that_breaks_a_bound_is_told_with_the_option(lab: Path) -> None:
    code = "try: width('model=wide', 'model.width=0')\nexcept Exception as e: print(e)"
    assert "dm.width must be ≥ 1, got 0" in evaluated(lab, code)
