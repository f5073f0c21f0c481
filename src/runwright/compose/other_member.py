"""Choosing another sampler or pruner than the one that a sweeper's file has options for.

    hydra/sweeper=fcn_params hydra/sweeper/sampler=random

The file sets options of its own sampler, which the random one lacks or interprets differently. They
apply only to the file's member; typed options apply to the typed member.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import attrs
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf, flag_override

_SWEEPER: Final = "hydra/sweeper"
_PARTS: Final = ("sampler", "pruner")


@attrs.frozen(kw_only=True)
class OtherMembers:
    """A sweep with members other than those of its sweeper's file.

    Attributes:
        composed: its configuration.
        of_file: the overrides of Hydra's options to compose its jobs with: those that were typed,
            except for the other members.
        note: what to tell the user.
    """

    composed: DictConfig
    of_file: tuple[str, ...]
    note: str


def with_other_members(
    load: Callable[[list[str]], DictConfig], overrides: list[str]
) -> OtherMembers | None:
    """Compose a sweep whose sampler or pruner is not the one in the sweeper's file.

    Args:
        load: composes overrides.
        overrides: those of the command line.

    Returns:
        What was composed; None if the sampler and pruner are the file's.
    """
    typed = {
        part: override.partition("=")[2]
        for part in _PARTS
        for override in overrides
        if _key(override) == f"{_SWEEPER}/{part}"
    }
    sweepers = [override for override in overrides if _key(override) == _SWEEPER]
    if not typed or any(one.partition("=")[2] in _plain_sweepers() for one in sweepers):
        return None
    composed = load(_without(overrides, typed))
    of_file: Any = OmegaConf.to_container(composed.hydra.runtime.choices)
    others = {
        part: name
        for part, name in typed.items()
        if of_file.get(f"{_SWEEPER}/{part}") not in (None, name)
    }
    target = OmegaConf.select(composed, "hydra.sweeper._target_")
    plain = [name for name, one in _plain_sweepers().items() if one == target]
    if not others or not plain or of_file[_SWEEPER] in plain:
        return None
    if others != typed:
        composed = load(_without(overrides, others))
    applicable = [
        one
        for one in overrides
        if _key(one) != _SWEEPER
        and (not _key(one).startswith("hydra.sweeper.") or _is_of(one, others))
        and (not _key(one).startswith(f"{_SWEEPER}/") or _is_of(one, others))
    ]
    source = load([*applicable, f"{_SWEEPER}={plain[0]}"])
    with flag_override(composed, ["readonly", "struct"], False):
        for part, name in others.items():
            composed.hydra.sweeper[part] = source.hydra.sweeper[part]
            composed.hydra.runtime.choices[f"{_SWEEPER}/{part}"] = name
        composed.hydra.overrides.hydra = [one for one in overrides if _is_hydras(one)]
    said = ", ".join(
        f"{_SWEEPER}/{part}={name}: the options that {_SWEEPER}={of_file[_SWEEPER]} has for "
        f"{of_file[f'{_SWEEPER}/{part}']} do not apply"
        for part, name in others.items()
    )
    left = tuple(one for one in _without(overrides, others) if _is_hydras(one))
    return OtherMembers(composed=composed, of_file=left, note=f"{said}.")


def _without(overrides: list[str], parts: dict[str, str]) -> list[str]:
    return [override for override in overrides if not _is_of(override, parts)]


def _is_of(override: str, parts: dict[str, str]) -> bool:
    """Whether an override chooses one of these parts, or sets an option of one."""
    return any(
        re.fullmatch(rf"hydra[/.]sweeper[/.]{part}(\..*)?", _key(override)) for part in parts
    )


def _is_hydras(override: str) -> bool:
    return re.match(r"hydra[/.]", _key(override)) is not None


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _plain_sweepers() -> dict[str, str]:
    """The sweepers that plugins provide: name → `_target_`."""
    store = ConfigStore.instance()
    return {
        name.removesuffix(".yaml"): str(store.load(f"{_SWEEPER}/{name}").node.get("_target_"))
        for name in store.list(_SWEEPER)
        if name.endswith(".yaml")
    }
