"""Merging the files of a configuration one by one, leaving out what does not fit."""

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, cast

from hydra.core.default_element import ResultDefault
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from runwright import hints
from runwright.compose._hydra import Composer, Repository
from runwright.compose._omegaconf import drop_defaults_list
from runwright.compose.explain import USER_MISTAKES, explain_key, text_of
from runwright.compose.file_shapes import file_of, wrong_shape
from runwright.compose.nested_values import wrong_within
from runwright.compose.typed_nodes import node_at, typed_nodes, unknown_keys
from runwright.compose.unknown_options import NOT_GLOBAL, unknown_key
from runwright.compose.wrong_values import hint_at
from runwright.factory import CONFIG_GROUPS


class MergedFiles:
    """Merges files, and notes what is wrong in them.

    Attributes:
        problems: gets one text per mistake.
    """

    def __init__(self, composer: Composer, repository: Repository, problems: list[str]) -> None:
        self.problems = problems
        self._composer = composer
        self._repository = repository

    def merge(self, defaults: Sequence[ResultDefault], wrong: set[str]) -> DictConfig:
        """Compose the files, leaving out what does not fit and noting it.

        Args:
            defaults: the files.
            wrong: the options that are already reported; those of a file that is left out are
                added.
        """
        composed = OmegaConf.create()
        for default in defaults:
            file = f"{default.config_path}.yaml"
            if text := wrong_shape(self._repository, str(default.config_path)):
                self.problems.append(text)
                wrong.add(default.package or "")
                continue
            try:
                loaded = self._composer.load(default, self._repository)
            except USER_MISTAKES as error:
                self.problems.append(f"In {file}: {text_of(error)}")
                continue
            before = copy.deepcopy(composed)  # merging stops halfway at what does not fit
            try:
                composed.merge_with(loaded.config)
            except OmegaConfBaseException:
                composed = self._merge_leaves(before, loaded.config, default)
            for node, key in list(typed_nodes(composed)):
                drop_defaults_list(node)
                with open_dict(node):
                    for unknown in unknown_keys(node, key):
                        self._note_in_file(default, unknown_key(unknown, node))
                        node.pop(unknown.rpartition(".")[2])
        return composed

    def _note_in_file(self, file: ResultDefault, text: str) -> None:
        path = file.config_path
        if text == NOT_GLOBAL and not f"{path}".startswith("experiment/"):
            path = file.parent  # which chose this one
        group, _, name = f"{path}".rpartition("/")
        is_factory = file_of(f"{path}", self._repository) is None and group in CONFIG_GROUPS
        where = f"{group}={name}" if is_factory else f"In {path}.yaml"
        if (noted := f"{where}: {text}") not in self.problems:
            self.problems.append(noted)

    def _merge_leaves(self, composed: DictConfig, loaded: Any, file: ResultDefault) -> DictConfig:
        """Merge a file option by option, to find all options that do not fit."""
        content = OmegaConf.to_container(loaded, resolve=False)
        for names, value in _leaves(content, composed):
            key = ".".join(map(str, names))
            nested: dict[Any, Any] = value
            for name in reversed(names):
                nested = {name: nested}
            is_container = OmegaConf.is_config(node_at(key, composed))
            before = copy.deepcopy(composed) if is_container else composed  # see above
            try:
                composed.merge_with(OmegaConf.create(nested))
            except OmegaConfBaseException as error:
                within = wrong_within(key, value, composed)
                for text in within or [explain_key(key, value, error, composed)]:
                    if text is not None:
                        self._note_in_file(file, text)
                composed = before
        return composed


def _leaves(
    node: Any, composed: DictConfig, above: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value with its path of keys, whose types are kept: a number does not become text.

    A dictionary is one value unless it holds options: it is told with its option's key.
    """
    hint = hint_at(".".join(map(str, above)), composed) if above else None
    kinds = hints.alternatives(hint)
    is_block = any(kind is Any or dataclasses.is_dataclass(kind) for kind in kinds)
    is_whole = hint is not None and not is_block
    if is_whole or not (isinstance(node, dict) and node):
        yield above, node
        return
    for name, below in cast("dict[Any, Any]", node).items():
        yield from _leaves(below, composed, (*above, name))
