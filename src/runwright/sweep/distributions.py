"""What one option is sampled from: parsing an override, comparing values, listing them."""

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
    Sweep,
)
from omegaconf import BooleanNode
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from runwright.compose.overrides import parse_override
from runwright.errors import UserError, did_you_mean
from runwright.sweep._optuna_sweeper import distribution_of

if TYPE_CHECKING:
    from optuna import Trial

Distributions: TypeAlias = dict[str, BaseDistribution]

_LOG: Final = "log"


def read(override: Override) -> BaseDistribution | str:
    """The distribution of an override, or the one value that it sets, as text.

    Raises:
        UserError: it cannot be sampled, or not in the way it is written.
    """
    if override.is_sweep_override():
        _refuse_without_effect(override.value())
    try:
        found = distribution_of(override)
    except (ValueError, NotImplementedError, AssertionError, OmegaConfBaseException) as error:
        raise UserError(str(error).splitlines()[0]) from error
    if isinstance(found, CategoricalDistribution):
        # Optuna stores the index of the first choice that is equal: of 1, 1.0 and true it would
        # record the first, whichever was run.
        equal = [choice for i, choice in enumerate(found.choices) if choice in found.choices[:i]]
        if equal:
            raise UserError(
                f"has {text_of(equal[0])} twice, or a value that counts as equal to it."
            )
    return found


def _refuse_without_effect(swept: Any) -> None:
    if not isinstance(swept, ChoiceSweep | RangeSweep | IntervalSweep):
        raise UserError("cannot be searched; give the values one by one, as choice(…).")
    if unknown := sorted(swept.tags - {_LOG}):
        raise UserError(f"the tag '{unknown[0]}' means nothing. {did_you_mean(unknown[0], [_LOG])}")
    if _LOG in swept.tags and not isinstance(swept, IntervalSweep):
        raise UserError(
            "only an interval can be sampled on a log scale: tag(log, interval(…)), for integers "
            "tag(log, int(interval(…)))."
        )
    if getattr(swept, "shuffle", False):
        raise UserError("the order of values has no meaning in a search; leave out shuffle(…).")
    members = swept.list if isinstance(swept, ChoiceSweep) else []
    if any(isinstance(member, Sweep) for member in cast("list[Any]", members)):
        raise UserError("several ranges or intervals cannot be searched as one.")


def plain(text: str) -> Any:
    """The value that a text stands for on the command line: True for "true", a list for "[1]"."""
    try:
        return _unquoted(parse_override(f"_={text}").value())
    except UserError:
        return text


def value_of(recorded: Any) -> Any:
    """The value that a recorded choice stands for; Optuna stores null, lists and text as text."""
    return plain(recorded) if isinstance(recorded, str) else recorded


def _unquoted(value: Any) -> Any:
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_unquoted(member) for member in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {_unquoted(k): _unquoted(v) for k, v in cast("dict[Any, Any]", value).items()}
    return value


def is_same(one: Any, other: Any) -> bool:
    """Whether two plain values are the same for an option, however they are written."""
    if isinstance(one, str) and isinstance(other, bool):
        one, other = other, one
    if isinstance(one, bool) and isinstance(other, str):
        try:
            return BooleanNode(other) == one
        except OmegaConfBaseException:
            return False
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other or str(one) == str(other)


def member(distribution: BaseDistribution, value: Any) -> Any:
    """The member of a distribution that a plain value stands for.

    Raises:
        UserError: it is not a member; says what is allowed.
    """
    if isinstance(distribution, CategoricalDistribution):
        for choice in distribution.choices:
            if is_same(value_of(choice), value):
                return choice
        allowed = ", ".join(map(text_of, distribution.choices))
        raise UserError(f"must be one of: {allowed}; got {value}.")
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    whole = isinstance(distribution, IntDistribution)
    if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value % 1):
        raise UserError(f"must be {'an integer' if whole else 'a number'}, got {value}.")
    if not low <= value <= high:
        raise UserError(f"must be ≥ {low}, ≤ {high}, got {value}.")
    found = int(value) if whole else float(value)
    steps = 0.0 if step is None else (found - low) / step
    if not math.isclose(steps, round(steps), abs_tol=1e-6):
        raise UserError(f"must be {low} plus a multiple of {step}, got {value}.")
    return found


def text_of(choice: Any) -> str:
    """A choice as it is written."""
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


def described(distribution: BaseDistribution) -> str:
    """A distribution as it is written."""
    if isinstance(distribution, CategoricalDistribution):
        return f"choice({', '.join(map(text_of, distribution.choices))})"
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if isinstance(distribution, IntDistribution):
        if distribution.log:
            return f"tag(log, int(interval({low}, {high})))"
        steps = f", {step}" if distribution.step > 1 else ""
        return f"range({low}, {distribution.high + 1}{steps})"
    if step is not None:
        return f"{low} to {high} in steps of {step}"
    interval = f"interval({low}, {high})"
    return f"tag(log, {interval})" if distribution.log else interval


def suggest(trial: "Trial", name: str, distribution: BaseDistribution) -> Any:
    """Sample an option."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(name, low, high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    return trial.suggest_float(name, low, high, step=distribution.step, log=distribution.log)


def number_of_choices(distribution: BaseDistribution) -> int | None:
    """How many values there are, without making them; None if there are infinitely many."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.step is None:
        return None
    return round((distribution.high - distribution.low) / distribution.step) + 1


def choices(distribution: BaseDistribution) -> list[Any] | None:
    """Every value, or None if there are infinitely many."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is None:
        return None
    low, high, step = (
        Decimal(str(end)) for end in (distribution.low, distribution.high, distribution.step)
    )
    return [float(low + i * step) for i in range(round((high - low) / step) + 1)]


def ends(distribution: BaseDistribution) -> list[Any]:
    """Every choice, or the ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return list(dict.fromkeys((distribution.low, distribution.high)))
