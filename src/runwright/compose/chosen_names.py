"""By which names members of groups were chosen: those of files that start from factories."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runwright.factory import Settings, name_of


def chosen_names(choices: Mapping[str, Any]) -> dict[str, str]:
    """The name that each member was chosen by, by the full key of its option.

    Args:
        choices: what chooses a member, `model` or `aug@train_aug` → its name.
    """
    found: dict[str, str] = {}
    # As they are: of some, the one that must be chosen is missing.
    plain: Any = (
        OmegaConf.to_container(choices, resolve=False)
        if isinstance(choices, DictConfig)
        else choices
    )
    for chooses, name in plain.items():
        group, _, option = str(chooses).partition("@")
        found[option or group.replace("/", ".")] = str(name)
    return found


def choices_in(composed: DictConfig) -> Mapping[str, Any]:
    """What chooses a member → its name; empty without Hydra's part."""
    return OmegaConf.select(composed, "hydra.runtime.choices") or {}


def note_name(member: Settings, name: str | None) -> None:
    """Note on a member that a file made what this file is called."""
    if name is not None and name != name_of(type(member)):
        vars(member)["chosen_as"] = name
