"""The search space: which options are sampled, from what, and under which condition."""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
from hydra_plugins.hydra_optuna_sweeper._impl import (  # pyright: ignore[reportMissingTypeStubs]
    create_params_from_overrides,
)
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from runwright.errors import ConfigError

if TYPE_CHECKING:
    from optuna import Trial

Distributions: TypeAlias = dict[str, BaseDistribution]
Values: TypeAlias = dict[str, Any]

_MOST_CORNERS: Final = 64


@attrs.frozen(kw_only=True)
class SearchSpace:
    """What a trial is made of.

    Attributes:
        distributions: option → what is sampled in every trial.
        when: (option, value as text) → what is sampled only where the option has that value.
        fixed: option → value of every trial.
        others: further overrides of every trial, such as deletions.
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
        """Read the space from the options of the sweeper and the command line, which wins.

        Raises:
            ConfigError: with everything that cannot be read.
        """
        problems: list[str] = []

        def read(values: Sequence[str], where: str) -> tuple[Distributions, dict[str, str], Any]:
            try:
                return create_params_from_overrides(list(values))
            except (ValueError, NotImplementedError, AssertionError) as error:
                problems.append(f"{where}: {error}")
                return {}, {}, []

        given = [f"{name}={value}" for name, value in params.items()]
        distributions, fixed, others = read(given, "hydra.sweeper.params")
        typed, typed_fixed, typed_others = read(arguments, "command line")
        problems.extend(
            f"{name} is on the command line twice, once to be searched and once with one value."
            for name in sorted(typed.keys() & typed_fixed.keys())
        )
        distributions = {**distributions, **typed}
        fixed = {**{k: v for k, v in fixed.items() if k not in typed}, **typed_fixed}
        others = [*others, *typed_others]
        for name in fixed:
            distributions.pop(name, None)
        conditional: dict[tuple[str, str], Distributions] = {}
        for condition, inner in when.items():
            where = f"hydra.sweeper.when.'{condition}'"
            option, equals, value = condition.partition("=")
            if not equals:
                problems.append(f"{where}: must be of the form option=value.")
                continue
            lines = [f"{name}={text}" for name, text in inner.items()]
            sampled, constant, _ = read(lines, where)
            for name, text in constant.items():
                sampled[name] = CategoricalDistribution([text])
            for name in fixed:
                sampled.pop(name, None)
            problems.extend(
                f"{where}: '{name}' is sampled in every trial already."
                for name in sorted(sampled.keys() & distributions.keys())
            )
            conditional[option.strip(), value.strip()] = sampled
        space = cls(
            distributions=distributions, when=conditional, fixed=fixed, others=tuple(others)
        )
        problems.extend(space._conditions_without_effect())
        if problems:
            raise ConfigError(problems)
        return space

    def suggest(self, trial: "Trial") -> Values:
        """Sample the values of a trial."""
        values: Values = {}
        for name, distribution in self._unfolding(values):
            values[name] = _suggest(trial, name, distribution)
        return values

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """The command line of a trial with these values."""
        sampled = [f"{name}={value}" for name, value in values.items()]
        return [*sampled, *(f"{name}={value}" for name, value in self.fixed.items()), *self.others]

    def known(self) -> set[str]:
        """Every option that can be sampled."""
        return set(self.distributions).union(*self.when.values())

    def size(self) -> int | None:
        """The number of different trials; None when it is not finite, or there are conditions."""
        if self.when:
            return None
        sizes = [_choices(distribution) for distribution in self.distributions.values()]
        if any(choices is None for choices in sizes):
            return None
        size = 1
        for choices in sizes:
            size *= len(choices or ())
        return size

    def grid(self) -> dict[str, list[Any]]:
        """Every value of every option, for a grid.

        Raises:
            ConfigError: an option is continuous, or there are conditions.
        """
        choices = {
            name: _choices(distribution) for name, distribution in self.distributions.items()
        }
        endless = sorted(name for name, values in choices.items() if values is None)
        problems = [
            f"hydra.sweeper.params.{name}: a grid needs values to choose from, such as "
            "choice(…), range(…), or an interval with a step."
            for name in endless
        ]
        if self.when:
            problems.append("hydra.sweeper.when: a grid has no conditions; take another sampler.")
        if problems:
            raise ConfigError(problems)
        return {name: values for name, values in choices.items() if values is not None}

    def corners(self) -> list[Values]:
        """The ends of every range and every choice, in all combinations where they are few.

        Where they are many: each of them at least once, and combinations drawn at random.
        """
        found: dict[str, Values] = {}

        def note(values: Values) -> None:
            found.setdefault(repr(sorted(values.items())), values)

        for values in itertools.islice(self._combinations({}), _MOST_CORNERS + 1):
            note(values)
        if len(found) <= _MOST_CORNERS:
            return list(found.values())
        found.clear()
        for turn in range(max(len(_ends(d)) for d in self._all())):
            for offset in (0, 1):
                note(self._pick(partial(_in_turn, turn, offset)))
        chance = random.Random(0)
        for _ in range(_MOST_CORNERS - len(found)):
            note(self._pick(partial(_by_chance, chance)))
        return list(found.values())

    def _pick(self, choose: Callable[[list[Any], int], Any]) -> Values:
        values: Values = {}
        for index, (name, distribution) in enumerate(self._unfolding(values)):
            values[name] = choose(_ends(distribution), index)
        return values

    def _combinations(self, values: Values) -> Iterator[Values]:
        remaining = next(iter(self._unfolding(values)), None)
        if remaining is None:
            yield dict(values)
            return
        name, distribution = remaining
        for value in _ends(distribution):
            yield from self._combinations({**values, name: value})

    def _unfolding(self, values: Values) -> Iterator[tuple[str, BaseDistribution]]:
        """What is still to be given a value; `values` may grow meanwhile."""
        for name, distribution in self.distributions.items():
            if name not in values:
                yield name, distribution
        found = True
        while found:
            found = False
            for (option, wanted), inner in self.when.items():
                if str(values.get(option, self.fixed.get(option))) != wanted:
                    continue
                for name, distribution in inner.items():
                    if name not in values:
                        found = True
                        yield name, distribution

    def _all(self) -> list[BaseDistribution]:
        inner = [d for sampled in self.when.values() for d in sampled.values()]
        return [*self.distributions.values(), *inner]

    def _conditions_without_effect(self) -> Iterator[str]:
        """Conditions that can never hold: silence about them would be a search never made."""
        sampled = dict(self.distributions)
        for inner in self.when.values():
            sampled |= inner
        for option, wanted in self.when:
            where = f"hydra.sweeper.when.'{option}={wanted}'"
            if option in sampled:
                choices = _choices(sampled[option])
                if choices is not None and wanted not in map(str, choices):
                    allowed = ", ".join(map(str, choices))
                    yield f"{where}: '{option}' is never {wanted}, but one of: {allowed}."
            elif option not in self.fixed:
                yield (
                    f"{where}: '{option}' is neither sampled nor on the command line. "
                    f"Give {option}={wanted}, or its values under hydra.sweeper.params."
                )


def _suggest(trial: "Trial", name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(name, low, high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    return trial.suggest_float(name, low, high, step=distribution.step, log=distribution.log)


def _choices(distribution: BaseDistribution) -> list[Any] | None:
    """Every value, or None when there is no end to them."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is None:
        return None
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + i * distribution.step for i in range(count)]


def _in_turn(turn: int, offset: int, ends: list[Any], index: int) -> Any:
    return ends[(turn + offset * index) % len(ends)]


def _by_chance(chance: random.Random, ends: list[Any], index: int) -> Any:
    del index
    return chance.choice(ends)


def _ends(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    ends = (distribution.low, distribution.high)
    return list(dict.fromkeys(ends))
