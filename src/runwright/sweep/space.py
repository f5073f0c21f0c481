"""The search space: which options are sampled, from what, and under which conditions."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import attrs
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    check_distribution_compatibility,
)

from runwright.compose.overrides import parse_override
from runwright.errors import ConfigError, UserError
from runwright.sweep.distributions import (
    Distributions,
    choices,
    described,
    ends,
    is_same,
    member,
    number_of_choices,
    plain,
    read,
    suggest,
    text_of,
    value_of,
)

if TYPE_CHECKING:
    from optuna import Trial

Values: TypeAlias = dict[str, Any]

_MOST_CORNERS: Final = 64
_LARGEST_GRID: Final = 1_000_000  # Optuna makes every point before the first trial


@attrs.frozen(kw_only=True)
class SearchSpace:
    """What a trial is made of.

    Attributes:
        distributions: option → what is sampled in every trial.
        when: (option, value as text) → what is sampled only where the option has that value.
        fixed: option → value of every trial.
        others: other overrides of every trial, such as deletions.
    """

    distributions: Distributions
    when: dict[tuple[str, str], Distributions]
    fixed: dict[str, str]
    others: tuple[str, ...]

    @classmethod
    def parse(
        cls,
        params: Mapping[str, str],
        when: Mapping[str, Mapping[str, str]],
        arguments: Sequence[str],
    ) -> "SearchSpace":
        """Parse the space from the sweeper's options and the command line, which takes precedence.

        Raises:
            ConfigError: with everything that cannot be read.
        """
        problems: list[str] = []
        lines = [(f"hydra.sweeper.params.{name}", f"{name}={v}") for name, v in params.items()]
        given = _Part.read(lines, problems)
        typed = _Part.read([(one, one) for one in arguments], problems)
        searched, named = _bare(typed.sampled), _bare(typed.fixed)
        problems.extend(
            f"{name} is on the command line twice, once to be searched and once with one value."
            for name in sorted(searched & named)
        )
        problems.extend(
            f"{name} is searched {count} times on the command line. Keep only one."
            for name, count in typed.times.items()
            if count > 1 and name in searched
        )
        own = _without(given.sampled, searched | named) | typed.sampled
        fixed = _without(given.fixed, searched | named) | typed.fixed
        conditional: dict[tuple[str, str], Distributions] = {}
        for condition, inner in when.items():
            where = f"hydra.sweeper.when.'{condition}'"
            option, equals, value = condition.partition("=")
            if not equals:
                problems.append(f"{where}: must be of the form option=value.")
                continue
            lines = [(f"{where}.{name}", f"{name}={text}") for name, text in inner.items()]
            part = _Part.read(lines, problems)
            constant = {name: CategoricalDistribution([t]) for name, t in part.fixed.items()}
            sampled = _without(part.sampled | constant, named)
            problems.extend(
                f"{where}: '{name}' is sampled in every trial already."
                for name in sorted(_bare(sampled) & _bare(own))
            )
            conditional[option.strip(), value.strip()] = sampled
        space = cls(
            distributions=own, when=conditional, fixed=fixed, others=(*given.others, *typed.others)
        )
        problems.extend(space._conditions_without_effect())
        problems.extend(space._incompatible())
        problems.extend(space._overwritten())
        if problems:
            raise ConfigError(problems)
        return space

    def suggest(self, trial: "Trial") -> Values:
        """Sample the values of a trial."""
        values: Values = {}
        for name, distribution in self._unfolding(values):
            values[name] = suggest(trial, name, distribution)
        return values

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """The command line of a trial with these values."""
        sampled = [f"{name}={value}" for name, value in values.items()]
        return [*sampled, *(f"{name}={value}" for name, value in self.fixed.items()), *self.others]

    def known(self) -> set[str]:
        """Every option that can be sampled."""
        return set(self.distributions).union(*self.when.values())

    def may_have(self, name: str, value: Any) -> bool:
        """Whether an option can have this value, as recorded in a study, in some trial."""
        return any(_has(way, value_of(value)) for way in self.ways(name, {}))

    def ways(self, name: str, values: Mapping[str, Any]) -> list[BaseDistribution]:
        """What an option may be sampled from in a trial that has these values."""
        found = [self.distributions[name]] if name in self.distributions else []
        given = _bare([*values, *self.fixed])
        for (option, wanted), inner in self.when.items():
            if name in inner and (option not in given or self._holds(option, wanted, values)):
                found.append(inner[name])
        return found

    def completed(self, values: Mapping[str, Any]) -> Values:
        """A trial with these values; the remaining options are at the end of their range."""
        found: Values = {}
        for name, distribution in self._unfolding(found):
            found[name] = values.get(name, ends(distribution)[0])
        return found

    def size(self) -> int | None:
        """The number of different trials; None if it is infinite, or if there are conditions."""
        if self.when:
            return None
        counts = [number_of_choices(distribution) for distribution in self.distributions.values()]
        return None if None in counts else math.prod(count or 0 for count in counts)

    def grid(self) -> dict[str, list[Any]]:
        """Every value of every option, for a grid.

        Raises:
            ConfigError: an option is continuous, there are conditions, or too many values.
        """
        endless = sorted(
            name for name, one in self.distributions.items() if number_of_choices(one) is None
        )
        problems = [
            f"hydra.sweeper.params.{name}: a grid needs values to choose from, such as "
            "choice(…), range(…), or an interval with a step."
            for name in endless
        ]
        if self.when:
            problems.append("hydra.sweeper.when: a grid has no conditions; take another sampler.")
        if (size := self.size() or 0) > _LARGEST_GRID:
            problems.append(
                f"hydra/sweeper/sampler=grid: the grid has {size:,} points, and at most "
                f"{_LARGEST_GRID:,} are made. Take larger steps, or another sampler."
            )
        if problems:
            raise ConfigError(problems)
        return {name: choices(one) or [] for name, one in self.distributions.items()}

    def corners(self) -> list[Values]:
        """The ends of every range and every choice, in all combinations if these are few.

        If there are many: each of them at least once, in combinations drawn at random.
        """
        found: dict[str, Values] = {}

        def note(values: Values) -> None:
            found.setdefault(repr(sorted(values.items())), values)

        for values in itertools.islice(self._combinations({}), _MOST_CORNERS + 1):
            note(values)
        if len(found) <= _MOST_CORNERS:
            return list(found.values())
        found.clear()
        for turn in range(max(len(ends(d)) for d in self._all())):
            for offset in (0, 1):
                note(self._pick(partial(_in_turn, turn, offset)))
        chance = random.Random(0)
        for _ in range(_MOST_CORNERS - len(found)):
            note(self._pick(partial(_by_chance, chance)))
        return list(found.values())

    def _pick(self, choose: Callable[[list[Any], int], Any]) -> Values:
        values: Values = {}
        for index, (name, distribution) in enumerate(self._unfolding(values)):
            values[name] = choose(ends(distribution), index)
        return values

    def _combinations(self, values: Values) -> Iterator[Values]:
        remaining = next(iter(self._unfolding(values)), None)
        if remaining is None:
            yield dict(values)
            return
        name, distribution = remaining
        for value in ends(distribution):
            yield from self._combinations({**values, name: value})

    def _unfolding(self, values: Values) -> Iterator[tuple[str, BaseDistribution]]:
        """The options that still need a value; `values` may grow meanwhile."""
        for name, distribution in self.distributions.items():
            if name not in values:
                yield name, distribution
        found = True
        while found:
            found = False
            for (option, wanted), inner in self.when.items():
                if not self._holds(option, wanted, values):
                    continue
                for name, distribution in inner.items():
                    if name not in values:
                        found = True
                        yield name, distribution

    def _all(self) -> list[BaseDistribution]:
        inner = [d for sampled in self.when.values() for d in sampled.values()]
        return [*self.distributions.values(), *inner]

    def _holds(self, option: str, wanted: str, values: Mapping[str, Any]) -> bool:
        """Whether an option has the value that a condition asks for, however both are written."""
        for given in (values, self.fixed):
            for name, value in given.items():
                if name.lstrip("+") == option:
                    return is_same(value_of(value), plain(wanted))
        return False

    def _named(self, option: str) -> list[BaseDistribution]:
        """What an option is sampled from, in every trial or under a condition."""
        parts = (self.distributions, *self.when.values())
        return [d for part in parts for name, d in part.items() if name.lstrip("+") == option]

    def _conditions_without_effect(self) -> Iterator[str]:
        """Conditions that can never hold: part of the search would silently not happen."""
        for option, wanted in self.when:
            where = f"hydra.sweeper.when.'{option}={wanted}'"
            sampled = self._named(option)
            if any(choices(distribution) is None for distribution in sampled):
                yield f"{where}: '{option}' is drawn from an interval, so it rarely has that value."
            elif sampled and not any(_has(distribution, plain(wanted)) for distribution in sampled):
                allowed = ", ".join(text_of(one) for d in sampled for one in choices(d) or ())
                yield f"{where}: '{option}' is never {wanted}, but one of: {allowed}."
            elif not sampled and option not in _bare(self.fixed):
                yield (
                    f"{where}: '{option}' is neither sampled nor on the command line. "
                    f"Give {option}={wanted}, or its values under hydra.sweeper.params."
                )

    def _incompatible(self) -> Iterator[str]:
        """Options that are sampled in two ways, which no study accepts."""
        for name in sorted(self.known()):
            first, *others = self._named(name.lstrip("+"))
            for other in others:
                if not are_compatible(first, other):
                    yield (
                        f"hydra.sweeper.when: {name} is {described(first)} in one place and "
                        f"{described(other)} in another. A study takes ranges of one kind, and the "
                        "same choices everywhere."
                    )

    def _overwritten(self) -> Iterator[str]:
        """Searched options that a fixed override of every trial would overwrite."""
        for whole, text in self.fixed.items():
            below = [n for n in self.known() if n.lstrip("+").startswith(whole.lstrip("+") + ".")]
            if below and isinstance(plain(text), dict):
                yield (
                    f"{whole}={text} sets everything in it, but {', '.join(sorted(below))} is "
                    "searched. Set its options one by one."
                )


@attrs.frozen(kw_only=True)
class _Part:
    """What some overrides sample, what they fix, and what else they do.

    Attributes:
        sampled: option → what it is sampled from.
        fixed: option → its value.
        others: overrides that set no value.
        times: how often each option is sampled.
    """

    sampled: Distributions = attrs.field(factory=dict)
    fixed: dict[str, str] = attrs.field(factory=dict)
    others: list[str] = attrs.field(factory=list)
    times: Counter[str] = attrs.field(factory=Counter)

    @classmethod
    def read(cls, lines: Iterable[tuple[str, str]], problems: list[str]) -> "_Part":
        """Parse overrides, each with its place, and note what is wrong."""
        part = cls()
        for where, line in lines:
            try:
                override = parse_override(line)
                if override.is_delete():
                    part.others.append(line)
                    continue
                found = read(override)
            except UserError as error:
                problems.append(f"{where}: {error}")
                continue
            name = override.get_key_element()
            if isinstance(found, str):
                part.fixed[name] = found
            else:
                part.sampled[name] = found
                part.times[name.lstrip("+")] += 1
        return part


def are_compatible(one: BaseDistribution, other: BaseDistribution) -> bool:
    """Whether a study accepts both for the same option."""
    try:
        check_distribution_compatibility(one, other)
    except ValueError:
        return False
    return True


def _bare(names: Iterable[str]) -> set[str]:
    """The options that are meant: `+opt.lr` and `++opt.lr` set opt.lr."""
    return {name.lstrip("+") for name in names}


_T = TypeVar("_T")


def _without(part: Mapping[str, _T], names: set[str]) -> dict[str, _T]:
    return {name: value for name, value in part.items() if name.lstrip("+") not in names}


def _has(distribution: BaseDistribution, value: Any) -> bool:
    try:
        member(distribution, value)
    except UserError:
        return False
    return True


def _in_turn(turn: int, offset: int, ends: list[Any], index: int) -> Any:
    return ends[(turn + offset * index) % len(ends)]


def _by_chance(chance: random.Random, ends: list[Any], index: int) -> Any:
    del index
    return chance.choice(ends)
