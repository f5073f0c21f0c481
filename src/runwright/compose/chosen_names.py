"""By which names members of groups were chosen: those of files that start from factories."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runwright.factory import Settings, name_of


def choices_in(composed: DictConfig) -> Mapping[str, Any]:
    """What chooses a member, `model` or `aug@train_aug` → its name; empty without Hydra's part."""
    return OmegaConf.select(composed, "hydra.runtime.choices") or {}


def note_names(config: Settings, choices: Mapping[str, Any]) -> None:
    """Note on every member that a file made what this file is called."""
    for chooses, name in choices.items():
        group, _, option = str(chooses).partition("@")
        member: Any = config
        for part in (option or group.replace("/", ".")).split("."):
            member = getattr(member, part, None)
        if isinstance(member, Settings) and name != name_of(type(member)):
            vars(member)["chosen_as"] = str(name)
