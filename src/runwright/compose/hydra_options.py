"""What is wrong with Hydra's part of a configuration: unknown keys, and values without jobs."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from runwright.compose.keys_twice import in_override
from runwright.compose.logging_options import wrong_in_logging
from runwright.compose.nested_values import misplaced
from runwright.compose.overrides import is_finite, is_read, number_of_values
from runwright.compose.typed_nodes import (
    containers_in,
    option_types,
    type_of,
    typed_nodes,
    unknown_keys,
)
from runwright.compose.unknown_options import unknown_key
from runwright.compose.wrong_values import hint_at, is_number_for_flag, wrong_value
from runwright.errors import did_you_mean
from runwright.factory import full_key

# Each is composed before the first one starts, which takes minutes for so many.
_MOST_JOBS: Final = 100_000


def wrong_in_hydra(composed: DictConfig, run_mode: RunMode, loader: ConfigLoader) -> list[str]:
    """A text for every key that neither Hydra nor the plugins that were chosen have.

    Also for the plugins themselves, if they are needed and missing.
    """
    wrong = [
        unknown_key(unknown, node)
        for node, key in typed_nodes(composed.hydra, "hydra")
        for unknown in unknown_keys(node, key)
    ]
    wrong += _misplaced(composed.hydra)
    for name in ("hydra_logging", "job_logging"):
        wrong += wrong_in_logging(composed.hydra[name], f"hydra.{name}")
    wrong += _wrong_verbose(composed.hydra.get("verbose"))
    wrong += _wrong_subdir(composed.hydra.get("output_subdir"))
    wrong += _empty_directories(composed.hydra)
    wrong += _wrong_searchpath(composed.hydra.get("searchpath"))
    if run_mode is not RunMode.MULTIRUN:
        return wrong
    wrong += [*_wrong_plugins(composed), *_twice_in_params(composed)]
    return wrong + _without_values(composed, loader)


def numbers_for_flags(parsed: Sequence[Override], composed: DictConfig) -> list[str]:
    """A text for every number that was given to an option of Hydra's part that is true or false."""
    given = {one.key_or_group: one.value() for one in parsed if one.is_hydra_override()}
    hinted = [(key, value, hint_at(key, composed)) for key, value in given.items()]
    return [
        wrong_value(key, value, hint, None)
        for key, value, hint in hinted
        if is_number_for_flag(value, hint)
    ]


def _misplaced(node: DictConfig) -> Iterator[str]:
    for inner, key in typed_nodes(node, "hydra"):
        types = option_types(type_of(inner))
        for name, below in containers_in(inner):
            if name in types:
                plain = OmegaConf.to_container(below, resolve=False)
                yield from misplaced(plain, types[name], full_key(key, name))


def _wrong_verbose(value: Any) -> list[str]:
    names = value if isinstance(value, ListConfig) else [value]
    if isinstance(value, bool) or all(isinstance(name, str) for name in names):
        return []
    return [f"hydra.verbose must be true, false, or names of loggers, got {value}"]


def _wrong_subdir(name: str | None) -> list[str]:
    if name is None or re.fullmatch(r"\.\w[\w-]*", name):
        return []
    text = (
        f"hydra.output_subdir={name}: Hydra would write its config.yaml, hydra.yaml and "
        "overrides.yaml there, over those of another. Name it .hydra, or leave it out: all of it "
        "is in the run directory."
    )
    return [text]


def _wrong_searchpath(places: ListConfig | None) -> list[str]:
    """A text for every folder that is to be searched and is not there: Hydra passes over it."""
    files = [str(one) for one in places or () if "://" not in str(one) or one.startswith("file://")]
    folders = [Path(one.removeprefix("file://")) for one in files]
    return [
        f"hydra.searchpath: there is no folder {folder.absolute()}."
        for folder in folders
        if not folder.is_dir()
    ]


def _empty_directories(node: DictConfig) -> list[str]:
    """A text for a directory of a run whose name is empty, as that of an unset variable is."""
    return [
        f"hydra.{name}.dir must not be empty. '.' is the working directory."
        for name in ("run", "sweep")
        if OmegaConf.is_config(node.get(name))
        if cast("Any", OmegaConf.to_container(node[name], resolve=False)).get("dir") == ""
    ]


def _twice_in_params(composed: DictConfig) -> Iterator[str]:
    """A text for every key that is twice in a dictionary that a sweeper's params have as text."""
    params = OmegaConf.select(composed, "hydra.sweeper.params")
    plain = OmegaConf.to_container(params, resolve=False) if OmegaConf.is_config(params) else {}
    for key, value in cast("dict[Any, Any]", plain).items():
        if isinstance(value, str) and "{" in value and is_read(f"{key}={value}"):
            yield from in_override(f"hydra.sweeper.params.{key}={value}")


def _without_values(composed: DictConfig, loader: ConfigLoader) -> list[str]:
    """A text for every override of a multirun that would make no jobs."""
    typed: Any = OmegaConf.to_container(composed.hydra.overrides.task, resolve=False)
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(typed)
    is_grid = str(OmegaConf.select(composed, "hydra.sweeper._target_")).endswith(".BasicSweeper")
    problems: list[str] = []
    number_of_jobs = 1
    for one in parsed:
        if not one.is_sweep_override():
            continue
        said, value = f"{one.input_line}: ", one.value()
        if isinstance(value, RangeSweep | IntervalSweep) and not is_finite(value):
            problems.append(f"{said}both ends must be finite numbers.")
        elif isinstance(value, IntervalSweep):
            if is_grid:
                problems.append(
                    f"{said}only a search can draw from an interval. Add hydra/sweeper=runwright."
                )
        elif isinstance(value, RangeSweep) and value.step == 0:
            problems.append(f"{said}the step of a range must not be 0.")
        elif (number := number_of_values(one)) == 0:
            within = _in_folders(one, loader) if isinstance(value, Glob) else ""
            problems.append(f"{said}it has no values, so there are no jobs to run.{within}")
        else:
            number_of_jobs *= number
            if is_grid and number_of_jobs > _MOST_JOBS:
                problems.append(
                    f"{said}a multirun of {number_of_jobs:,} jobs; at most {_MOST_JOBS:,} are "
                    "composed. hydra/sweeper=runwright draws from ranges as large as that."
                )
                break
    return problems


def _in_folders(one: Override, loader: ConfigLoader) -> str:
    """A sentence with the members in folders of a group, where a glob does not look."""
    folders = loader.list_groups(one.key_or_group)
    names = [
        f"{f}/{m}" for f in folders for m in loader.get_group_options(f"{one.key_or_group}/{f}")
    ]
    value = one.value()
    assert isinstance(value, Glob)
    found = [name for name in names if any(fnmatch(name, include) for include in value.include)]
    typed = f"{one.get_key_element()}={','.join(found)}"
    return f" It does not look into folders. Name the members: {typed}" if found else ""


def _wrong_plugins(composed: DictConfig) -> list[str]:
    problems: list[str] = []
    for kind, cls in (("launcher", Launcher), ("sweeper", Sweeper)):
        node = composed.hydra[kind]
        if not isinstance(node, DictConfig):
            problems.append(
                f"hydra.{kind}: a multirun needs one. Choose one, e.g. with hydra/{kind}=basic."
            )
            continue
        installed = {f"{one.__module__}.{one.__name__}" for one in Plugins.instance().discover(cls)}
        if (target := node.get("_target_")) not in installed:
            hint = did_you_mean(str(target), installed)
            problems.append(f"hydra.{kind}._target_={target}: no such {kind} is installed. {hint}")
    batch = OmegaConf.select(composed, "hydra.sweeper.max_batch_size")
    if isinstance(batch, int) and batch < 1:
        problems.append(f"hydra.sweeper.max_batch_size={batch}: it must be at least 1.")
    return problems
