"""What can be wrong with a sweep's options: by themselves, with its space, with its study."""

import importlib.util
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, Final, cast

from runwright.config import MAX_SEED
from runwright.errors import ConfigError, UserError, did_you_mean
from runwright.sweep.algorithms import out_of_bounds, problems_of_options
from runwright.sweep.distributions import described, member
from runwright.sweep.space import SearchSpace, Values, are_compatible
from runwright.sweep.sweeper_cfg import OptunaSweeperCfg, SweeperCfg

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

# Packages that Optuna imports on first use, which may be in the middle of a sweep.
_NEEDS: Final = {
    "CmaEsSampler": "cmaes",
    "GPSampler": "scipy",
    "QMCSampler": "scipy",
    "WilcoxonPruner": "scipy",
}

_ASKED: Final = "asked"
"""User attribute of the study: what its values are, and what all its trials share."""


def check(options: SweeperCfg, *, overwrites: bool = False) -> None:
    """Check the options by themselves.

    Args:
        options: the options.
        overwrites: whether the runs are to start over.

    Raises:
        ConfigError: with everything that is wrong.
    """
    problems = [*_numbers(options)]
    if overwrites:
        problems.append(
            "overwrite=true: the trials of a study go on where they ended. To start over, give "
            "another hydra.sweep.dir."
        )
    problems += out_of_bounds("hydra.sweeper.retries", options.retries, 0)
    problems += _seconds("hydra.sweeper.heartbeat", options.heartbeat)
    if TIMEOUT_MAX < options.heartbeat < math.inf:  # nothing waits longer
        problems.append(
            f"hydra.sweeper.heartbeat must be ≤ {int(TIMEOUT_MAX)}, got {options.heartbeat}."
        )
    if options.timeout is not None and options.timeout != math.inf:
        problems += _seconds("hydra.sweeper.timeout", options.timeout)
    problems += problems_of_options("pruner", options.pruner)
    pruner = str(options.pruner.get("_target_"))
    prunes = not pruner.endswith("NopPruner")
    if prunes and len(options.measures or ()) > 1:
        problems.append(
            "hydra.sweeper.measures: pruning takes a single measure; choose "
            "hydra/sweeper/pruner=none."
        )
    if pruner.endswith("WilcoxonPruner") and not options.seeds:
        problems.append(
            "hydra/sweeper/pruner=wilcoxon compares trials seed by seed; give "
            "hydra.sweeper.seeds=[1,2,3,…]."
        )
    seeds: list[int] = options.seeds or []
    for i, seed in enumerate(seeds):
        problems += out_of_bounds(f"hydra.sweeper.seeds[{i}]", seed, 0, MAX_SEED)
    problems.extend(
        f"hydra.sweeper.seeds has {seed} twice; the same run is not another sample."
        for seed in dict.fromkeys(seeds)
        if seeds.count(seed) > 1
    )
    for part, chosen in (("sampler", options.sampler), ("pruner", options.pruner)):
        problems += _missing_package(part, chosen)
    if problems:
        raise ConfigError(problems)


def check_stock(options: OptunaSweeperCfg) -> None:
    """Check the options of Hydra's own sweeper by themselves.

    Raises:
        ConfigError: with everything that is wrong.
    """
    problems = [*_numbers(options), *_missing_package("sampler", options.sampler)]
    if problems:
        raise ConfigError(problems)


def _numbers(options: SweeperCfg | OptunaSweeperCfg) -> Iterator[str]:
    yield from out_of_bounds("hydra.sweeper.n_trials", options.n_trials, 1)
    if options.n_jobs is not None:
        yield from out_of_bounds("hydra.sweeper.n_jobs", options.n_jobs, 1)
    yield from out_of_bounds("hydra.sweeper.max_failure_rate", options.max_failure_rate, 0, 1)
    yield from problems_of_options("sampler", options.sampler)


def _seconds(key: str, value: float) -> Iterator[str]:
    if not 0 < value < math.inf:
        yield f"{key} must be > 0 and finite, got {value}."


def _missing_package(part: str, options: Mapping[str, Any]) -> Iterator[str]:
    target = str(options.get("_target_")).rpartition(".")[2]
    package = _NEEDS.get(target)
    if package is not None and importlib.util.find_spec(package) is None:
        yield (
            f"hydra/sweeper/{part}: {target} needs the package {package}, which is not installed: "
            f"`pip install {package}`."
        )


def check_space(options: SweeperCfg, space: SearchSpace) -> list[Values]:
    """Check the options that refer to the space.

    Returns:
        The values to try first, as members of the space.

    Raises:
        ConfigError: with everything that is wrong.
    """
    problems: list[str] = []
    if not space.known() and options.custom_search_space is None and options.n_trials > 1:
        problems.append(
            f"There is nothing to search, so all {options.n_trials} trials would be the same. Give "
            "an option several values, such as opt.lr=tag(log,interval(1e-5,1e-3)), or "
            "hydra.sweeper.params."
        )
    if options.seeds and "seed" in {*space.known(), *space.fixed}:
        problems.append(
            "seed: hydra.sweeper.seeds gives every trial its seeds. Leave one of the two out."
        )
    queued: list[Values] = []
    for index, by_hand in enumerate(options.enqueue or []):
        found: Values = {}
        for name, value in by_hand.items():
            try:
                found[name] = _queued(space, name, value, by_hand)
            except UserError as error:
                problems.append(f"hydra.sweeper.enqueue[{index}].{name}: {error}")
        queued.append(found)
    if problems:
        raise ConfigError(problems)
    return queued


def _queued(space: SearchSpace, name: str, value: Any, beside: Values) -> Any:
    """A value that the user enqueued, as a member of the space."""
    if name in space.fixed:
        raise UserError(f"is fixed for all trials, {name}={space.fixed[name]}. Leave it out.")
    if name not in space.known():
        raise UserError(f"is not in the search space. {did_you_mean(name, space.known())}")
    ways = space.ways(name, beside)
    if not ways:
        where = [f"{option}={v}" for (option, v), inner in space.when.items() if name in inner]
        raise UserError(f"is searched only with {' or '.join(where)}. Leave it out.")
    refused: list[str] = []
    for distribution in ways:
        try:
            return member(distribution, value)
        except UserError as error:
            refused.append(str(error))
    raise UserError(" Or ".join(dict.fromkeys(refused)))


def check_study(study: "optuna.Study", space: SearchSpace, options: SweeperCfg) -> None:
    """Check that the new trials of a study can be compared with its earlier ones.

    Raises:
        ConfigError: with everything that cannot be compared.
    """
    from runwright.sweep.growing import may_take_over
    from runwright.sweep.study import has_begun

    asked: dict[str, Any] = {
        "measures": options.measures or [],
        "seeds": options.seeds or [],
        "fixed": space.fixed,
    }
    before: dict[str, Any] = study.user_attrs.get(_ASKED, asked) if has_begun(study) else asked
    problems = [
        f"hydra.sweeper.{name}={_list(asked[name])}, but the trials of this study were run "
        f"with {name}={_list(before[name])}."
        for name in ("measures", "seeds")
        if before[name] != asked[name]
    ]
    changed = [*_changed_ranges(study, space)]
    if problems or changed:
        way = f"Use a hydra.sweeper.study_name other than {study.study_name}."
        if not problems and may_take_over(study, space):
            way += (
                f" With hydra.sweeper.from_study={study.study_name}, it begins with these trials."
            )
        problems += changed
        raise ConfigError([f"{problem} {way}" for problem in problems])
    fixed: dict[str, str] = before["fixed"]
    had = {name for trial in study.get_trials(deepcopy=False) for name in trial.params}
    sampled = space.known() | had
    if options.custom_search_space is None:
        for name in sorted(had - space.known()):
            log.warning("%s was searched by earlier trials of this study, and no longer is.", name)
    for name in sorted((fixed.keys() | space.fixed.keys()) - sampled):
        if fixed.get(name) != space.fixed.get(name):
            log.warning(
                "%s=%s: earlier trials of this study were run with %s.",
                name,
                space.fixed.get(name, "(not given)"),
                fixed.get(name, "the default"),
            )
    study.set_user_attr(_ASKED, before)


def _list(values: Sequence[Any]) -> str:
    return f"[{','.join(map(str, values))}]"


def _changed_ranges(study: "optuna.Study", space: SearchSpace) -> Iterator[str]:
    """Options that the study has sampled in a way that cannot be mixed with the new one."""
    had = {
        (name, described(distribution)): distribution
        for trial in study.get_trials(deepcopy=False)
        for name, distribution in trial.distributions.items()
    }
    for (name, text), distribution in had.items():
        for now in space.ways(name, {}):
            if not are_compatible(distribution, now):
                yield (
                    f"{name}: earlier trials of the study sampled it from {text}, and now it is "
                    f"{described(now)}. The two cannot be searched together."
                )


def check_pruner(options: SweeperCfg, monitor: str | None) -> None:
    """Check that the pruner uses the measure that the sweep optimises.

    Raises:
        ConfigError: it would use another one, the one that the run returns.
    """
    measures = options.measures or []
    prunes = not str(options.pruner.get("_target_")).endswith("NopPruner")
    if monitor is None or options.seeds or not prunes or len(measures) != 1:
        return
    if measures != [monitor]:
        problem = (
            f"hydra.sweeper.measures={_list(measures)}: the pruner would use {monitor}. Set "
            f"training.monitor={measures[0]}, or hydra/sweeper/pruner=none."
        )
        raise ConfigError([problem])


def directions(
    given: Any, measures: Sequence[str], known: Mapping[str, str], monitor: str | None = None
) -> list[str]:
    """One direction per measure: the known one, which a given one must not contradict.

    Args:
        given: `hydra.sweeper.direction`, one for all or a list; None means the known ones.
        measures: what a sweep optimises; "" is what the run returns.
        known: measure → direction.
        monitor: the name of what the run returns.

    Raises:
        ConfigError: a direction is missing, or contradicts the measure.
    """
    named = cast("list[Any]", given) if isinstance(given, list) else [given] * len(measures)
    chosen = [None if d is None else str(getattr(d, "name", d)) for d in named]
    problems: list[str] = []
    if len(chosen) != len(measures):
        problems.append(
            f"hydra.sweeper.direction has {len(chosen)} entries, but {len(measures)} "
            f"{'measure is' if len(measures) == 1 else 'measures are'} optimised."
        )
    found: list[str] = []
    for measure, direction in zip(measures, chosen, strict=False):
        what = measure or "what the run returns"
        if direction not in (None, "maximize", "minimize"):
            problems.append(
                f"hydra.sweeper.direction: '{direction}'. "
                + did_you_mean(direction, ("maximize", "minimize"))
            )
        elif direction is None and measure not in known:
            others = known.keys() - {""}
            problems.append(
                f"hydra.sweeper.direction: it is not known which way {what} is better. "
                "Give maximize or minimize." + f" ({did_you_mean(measure, others)})" * bool(others)
            )
        elif direction is not None and known.get(measure, direction) != direction:
            which = f"{what} ({monitor})" if not measure and monitor else what
            better = "higher" if known[measure] == "maximize" else "lower"
            problems.append(
                f"hydra.sweeper.direction={direction} contradicts {which}: {better} is better. "
                f"Leave it out, or give {known[measure]}."
            )
        else:
            found.append(direction or known[measure])
    if problems:
        raise ConfigError(problems)
    return found
