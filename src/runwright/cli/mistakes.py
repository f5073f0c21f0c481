"""All the mistakes of a command line together, after composing it has found the first."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import RangeSweep
from hydra.errors import HydraException
from hydra.types import RunMode

from runwright.cli.needs_building import problems_beside
from runwright.compose.convert import without_hydra
from runwright.compose.loader import StrictConfigLoader, to_config
from runwright.compose.overrides import is_finite, number_of_values, of_params
from runwright.compose.pending import parts_key
from runwright.errors import ConfigError


def mistakes_of_multirun(
    error: ConfigError, loader: StrictConfigLoader, config_name: str, overrides: Sequence[str]
) -> ConfigError:
    """What is wrong with a multirun whose composition ended at the first job with a mistake.

    Every value is checked once, together with the first value of every other option: far fewer jobs
    than the multirun has, which show all mistakes except those of a combination.
    """
    problems = list(error.problems)
    built: set[str] = set()

    def check(parts: Mapping[str, Any]) -> list[str]:
        if (key := parts_key(parts)) in built:
            return []
        built.add(key)
        return problems_beside(parts, overrides)

    loader.check_parts = check
    multirun = loader.pending.composed
    texts = [*([] if multirun is None else of_params(multirun)), *overrides]
    once = {text.lstrip("+").partition("=")[0]: text for text in reversed(texts)}
    of_jobs = [text for key, text in once.items() if not key.startswith("hydra.sweeper.params")]
    for job in _jobs(loader, of_jobs[::-1]):
        try:
            composed = loader.load_configuration(config_name, job, RunMode.RUN)
            problems += check(vars(to_config(without_hydra(composed))))
        except ConfigError as of_job:
            problems += of_job.problems
    found = error.problems  # some with the job in which they were found
    more = [text for text in problems if not any(one.startswith(text) for one in found)]
    return ConfigError([*found, *more])


def _jobs(loader: StrictConfigLoader, overrides: Sequence[str]) -> Iterator[list[str]]:
    listed = (_values(loader, text) for text in overrides)
    choices = [values for values in listed if values]
    first = [values[0] for values in choices]
    yield first
    for index, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:index], value, *first[index + 1 :]]


def _values(loader: StrictConfigLoader, text: str) -> list[str]:
    """The overrides that one stands for in a multirun; for a range, the first and the last.

    None for an interval: only a sweeper can choose values from it.
    """
    try:
        one = OverridesParser.create(config_loader=loader).parse_overrides([text])[0]
    except HydraException:
        return [text]  # composing says what is wrong with it
    if not one.is_sweep_override():
        return [text]
    if not one.is_discrete_sweep():
        return []
    key, value = one.get_key_element(), one.value()
    if not isinstance(value, RangeSweep):
        return [f"{key}={value}" for value in one.sweep_string_iterator()]
    if value.step == 0 or not is_finite(value) or not (number := number_of_values(one)):
        return []
    start, step = cast("float", value.start), cast("float", value.step)
    return [f"{key}={end}" for end in dict.fromkeys([start, start + (number - 1) * step])]
