"""Tab completion: what Hydra's plugins for the shells offer."""

import contextlib
import dataclasses
import itertools
import os
import shlex
import typing
from typing import Any, cast

from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from runwright import hints
from runwright.compose.delegating_loader import DelegatingLoader
from runwright.compose.members import members
from runwright.compose.overrides import is_read
from runwright.compose.typed_nodes import type_of, typed_steps
from runwright.factory import Settings, described


class CompletionLoader(DelegatingLoader):
    """Composes what has been typed so far, with values as they are typed.

    It is not strict, because what has been typed so far may be incomplete.
    """

    @override
    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """The members of a group, or the values of an option that has only a few.

        Hydra asks about what is before a "=", and by itself offers only the current value.
        """
        typed = self._typed(overrides or [])
        if not group_name or results_filter is not ObjectType.CONFIG:
            return super().get_group_options(group_name, results_filter, config_name, typed)
        if found := members(self.composer.usual_repository, group_name):
            return found
        composed = super().load_configuration(config_name, typed, RunMode.RUN)
        return _values_to_choose(group_name.lstrip("+"), composed)

    @override
    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        typed = self._typed(overrides)
        composed = super().load_configuration(
            config_name, typed, run_mode, from_shell, validate_sweep_overrides
        )
        # GELU is typed where Hydra would offer Activation.GELU.
        plain = OmegaConf.to_container(composed, resolve=False, enum_to_str=True)
        return OmegaConf.create(cast("dict[str, Any]", plain))

    def _typed(self, words: list[str]) -> list[str]:
        """The overrides typed before, which Hydra has split at spaces, quoted or not."""
        try:
            whole = shlex.split(" ".join(words))
        except ValueError:  # a quote is still open
            return []
        return [word for word in whole if is_read(word)]


def typed_flag(*names: str) -> str | None:
    """The value of a flag in the line that is being completed, which the shell passes on."""
    with contextlib.suppress(ValueError):
        words = shlex.split(os.environ.get("COMP_LINE", ""))
        for word, following in itertools.pairwise([*words, ""]):
            for name in names:
                if word == name:
                    return following or None
                if word.startswith(f"{name}="):
                    return word.partition("=")[2] or None
    return None


def _values_to_choose(key: str, composed: DictConfig) -> list[str]:
    """All values of an option that has only a few: names, true and false, null; else none."""
    for path, node, name in typed_steps(key, composed):
        cls = type_of(node)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if path != key or name not in fields or not issubclass(cls, Settings):
            continue
        hint: Any = typing.get_type_hints(cls)[name]
        is_flag = bool in hints.alternatives(hint)
        names = [
            *(described(fields[name]).choices or hints.names_in(hint)),
            *["true", "false"] * is_flag,
        ]
        return [*names, "null"] if names and hints.is_optional(hint) else names
    return []
