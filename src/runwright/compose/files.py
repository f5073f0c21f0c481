"""What YAML files say that is lost when they are merged.

OmegaConf ignores a `???` that is merged onto a default, merges a dictionary into the previous one,
and turns what YAML has read as a number into text. So the files are read again where the composed
result makes it likely that something was lost.
"""

import contextlib
import dataclasses
import functools
import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import attrs
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from omegaconf import MISSING, DictConfig, ListConfig, Node, OmegaConf, PathNode, StringNode
from omegaconf.errors import OmegaConfBaseException

from runwright import hints
from runwright.compose._hydra import Composer, Repository
from runwright.compose._omegaconf import child, is_empty, raw_value, yaml_loader
from runwright.compose.file_shapes import file_of
from runwright.compose.keys_twice import in_file
from runwright.compose.typed_nodes import (
    declared,
    is_interface,
    option_names,
    type_of,
    typed_nodes,
)
from runwright.compose.values import replace, takes_text
from runwright.compose.wrong_values import hint_at, is_number_for_flag, wrong_value
from runwright.domains import conf_folders
from runwright.factory import CONFIG_GROUPS, described, full_key

# A required, octal or sexagesimal value, alone after a key or in a list; a key that is no text.
_SUSPICIOUS: Final = re.compile(
    r"^#\s*@package\s*:|[:,[{-]\s*(\?\?\?|[-+]?0[0-9_]*[0-9]|[-+]?[0-9][0-9_]*(:[0-9]+)+)\s*($|[#,}\]])"
    r"|(^|[{,?])\s*([-+.]?[0-9][-+.:\w]*|true|false|null|~)\s*:",
    re.MULTILINE | re.IGNORECASE,
)
# The keys of numbers, in quotes too.
_NUMBER: Final = re.compile(r"(\w+)['\"]?\s*:\s*['\"]?\s*[-+]?[0-9]")
_HEADER_WITH_COLON: Final = re.compile(r"^#\s*@package\s*:", re.MULTILINE)
# Where people name runs, folders and accounts.
_OF_HYDRA: Final = ("run", "sweep", "job", "launcher", "sweeper")
_ENQUEUED: Final = re.compile(r"hydra\.sweeper\.enqueue\.\d+\.\+*(.+)")
_LIKE_A_NUMBER: Final = re.compile(r"[-+]?\.?[0-9][0-9.eE+-]*|True|False|nan|inf|-inf")

_IN_PLACE_OF: Final = (
    "{path} replaces the factory {group}={name}. Give the file another name; if it "
    "changes options of the factory, start it with `defaults: [{name}]`."
)
_SAYS_NO_FACTORY: Final = "{path} does not say which {base} it changes. The first line must be "
_OTHER_BASE: Final = (
    "{where}: YAML reads {text} as {value}. Write {value} if you mean that, or quote it: '{text}'."
)
_NOT_AS_WRITTEN: Final = (
    "{where}: {key} takes text, and YAML reads {text} as {value}. Quote it: '{text}'."
)


@attrs.frozen(kw_only=True)
class Scalar:
    """A value in a YAML file.

    Attributes:
        key: the full key of the option that it is for.
        text: the characters.
        value: what YAML makes of them.
        line: the line of the file, counted from 1.
    """

    key: str
    text: str
    value: Any
    line: int


def settle(
    composed: DictConfig,
    composer: Composer,
    repository: Repository,
    config_name: str | None,
    overrides: Sequence[Override],
) -> list[str]:
    """Restore in a composed node, in place, what merging the files has lost.

    Returns:
        A text for every value that is not read as it is written.
    """
    if not _is_likely(composed, repository):
        return []
    defaults = composer.defaults(repository, config_name, list(overrides)).defaults
    demanded: dict[str, None] = {}
    dictionaries: dict[str, Any] = {}
    problems: list[str] = []
    for default in defaults:
        loaded = composer.load(default, repository).config
        for key, value in _given(loaded, composed):
            if isinstance(value, DictConfig):
                dictionaries[key] = value
            elif value == MISSING:
                demanded[key] = None
                continue
            demanded.pop(key, None)
        problems += _misread(default, repository, composed)
    for key, value in dictionaries.items():
        with contextlib.suppress(OmegaConfBaseException):  # merging has told what does not fit
            replace(composed, key, value)
    for key in demanded:
        OmegaConf.update(composed, key, MISSING, force_add=True)
    return problems


def check(
    composed: DictConfig,
    composer: Composer,
    repository: Repository,
    config_name: str | None,
    overrides: Sequence[Override],
) -> list[str]:
    """Settle what was composed of the files, and find what is wrong with those.

    Returns:
        A text for every value that is not read as it is written, every file that replaces a
        factory, and every group that is chosen twice.
    """
    texts = settle(composed, composer, repository, config_name, overrides)
    texts += in_place_of_factories(composed, repository).values()
    chosen = [f"{group}/{name}" for group, option, name in _choices(composed) if not option]
    stored = ConfigStore.instance()
    files = [one for one in chosen if stored.get_type(f"{one}.yaml") is ObjectType.NOT_FOUND]
    return texts + entries_twice([config_name, *files], repository)


def entries_twice(files: Iterable[str | None], repository: Repository) -> list[str]:
    """A text for everything that is twice in the defaults list of one of these configurations."""
    return [
        f"In {file}.yaml: the defaults list has '{entry}' twice. Keep only one."
        for file in files
        if file is not None and repository.has_config(file)
        for entries in [repository.entries_of(file)]
        for entry in dict.fromkeys(one for one in entries if entries.count(one) > 1)
    ]


def in_place_of_factories(composed: DictConfig, repository: Repository) -> dict[str, str]:
    """A text for every file that replaces a factory, by the option that it is for."""
    texts: dict[str, str] = {}
    for group, option, name in _choices(composed):
        for source in repository.sources if name in CONFIG_GROUPS.get(group, {}) else ():
            if source.scheme() == "file" and source.is_config(f"{group}/{name}"):
                path = Path(source.path) / f"{group}/{name}.yaml"
                said = _IN_PLACE_OF.format(path=path, group=group, name=name)
                texts.setdefault(option or group, said)
    return texts


def without_factory(composed: DictConfig, repository: Repository) -> dict[str, str]:
    """A text for every chosen file that does not say which factory it changes, by the option."""
    texts: dict[str, str] = {}
    for group, option, name in _choices(composed):
        key = option or group.replace("/", ".")
        node = OmegaConf.select(composed, key) if group in CONFIG_GROUPS else None
        if not isinstance(node, DictConfig) or not is_interface(type_of(node)):
            continue
        file = file_of(f"{group}/{name}", repository)
        if file is not None:
            said = _SAYS_NO_FACTORY.format(path=file, base=type_of(node).__name__)
            texts[key] = said + _first_line(group, _usual_at(key, composed), file)
    return texts


def _usual_at(key: str, composed: DictConfig) -> str | None:
    above, _, name = key.rpartition(".")
    owner = type_of(OmegaConf.select(composed, above) if above else composed)
    found = (described(field).usual for field in dataclasses.fields(owner) if field.name == name)
    return next(found, None)


def _first_line(group: str, usual: str | None, file: Path) -> str:
    """What a file has to begin with, so that it changes a factory that has these options."""
    loaded: Any = yaml.safe_load(file.read_text())
    keys = cast("dict[Any, Any]", loaded).keys() if isinstance(loaded, dict) else set[Any]()
    members = CONFIG_GROUPS[group]
    fitting = [name for name, cls in members.items() if keys <= set(option_names(cls))]
    names = fitting or list(members)
    if usual in names:
        names = [usual]
    if len(names) == 1:
        return f"`defaults: [{names[0]}]`."
    return f"`defaults: [NAME]`, where NAME is one of: {', '.join(sorted(names))}."


def _is_likely(composed: DictConfig, repository: Repository) -> bool:
    """Whether something in a file may have been lost."""
    if _has_lost(composed):
        return True
    folders = [Path(one.path) for one in repository.sources if one.scheme() == "file"]
    unused = {one for one in conf_folders() if not _is_chosen_from(one, composed)}
    files = [path for one in folders if one not in unused for path in one.rglob("*.yaml")]
    texts = [path.read_text(errors="replace") for path in files if path.is_file()]
    if any(map(_SUSPICIOUS.search, texts)):
        return True
    numbers = {key for text in texts for key in _NUMBER.findall(text)}
    nodes = (node for node, _ in typed_nodes(composed)) if numbers else ()
    return any(not numbers.isdisjoint(_flags_of(type_of(node))) for node in nodes)


@functools.cache
def _flags_of(cls: type[Any]) -> list[str]:
    """The options of a class that may take true or false, as they are written."""
    fields = dataclasses.fields(cls)  # resolving their types takes 2 ms of every start
    return [field.name for field in fields if "bool" in str(field.type)]


def _is_chosen_from(folder: Path, composed: DictConfig) -> bool:
    """Whether a folder has the file of a member that is chosen."""
    files = (f"{group}/{name}.yaml" for group, _, name in _choices(composed))
    return any((folder / file).is_file() for file in files)


def _choices(composed: DictConfig) -> Iterator[tuple[str, str, Any]]:
    """What the defaults lists choose: group, option (if it is not the group's own), member."""
    choices: Any = OmegaConf.to_container(composed.hydra.runtime.choices, resolve=False)
    for choice, name in choices.items():
        group, _, option = str(choice).partition("@")
        yield group, option, name


def _has_lost(node: DictConfig | ListConfig) -> bool:
    """Whether a dictionary has content, or a text looks like a number."""
    if is_empty(node):
        return False
    for name in range(len(node)) if isinstance(node, ListConfig) else node:
        below = child(node, name)
        if name == "hydra" and isinstance(below, DictConfig):
            parts = (child(below, part) for part in _OF_HYDRA)
            found = any(isinstance(one, DictConfig) and _has_lost(one) for one in parts)
        elif isinstance(below, DictConfig) and OmegaConf.get_type(below) in (dict, None):
            found = not is_empty(below) and len(below) > 0
        elif isinstance(below, DictConfig | ListConfig):
            found = _has_lost(below)
        else:
            found = _is_like_a_number(below)
        if found:
            return True
    return False


def _is_like_a_number(node: Node | None) -> bool:
    is_text = isinstance(node, StringNode | PathNode)
    return is_text and _LIKE_A_NUMBER.fullmatch(str(raw_value(node))) is not None


def _given(node: Any, composed: DictConfig, above: str = "") -> Iterator[tuple[str, Any]]:
    """What a file sets, by full key: a required value is `???`, a dictionary is a node."""
    if not isinstance(node, DictConfig) or OmegaConf.get_type(node) is not dict:
        return  # a schema sets nothing: it has only defaults
    for name in node:
        key = full_key(above, str(name))
        if OmegaConf.is_missing(node, name):
            yield key, MISSING
            continue
        below = child(node, name)
        if isinstance(below, DictConfig) and not _is_dictionary(key, composed):
            yield from _given(below, composed, key)
        elif name != "defaults":
            yield key, below


def _is_dictionary(key: str, composed: DictConfig) -> bool:
    if key.startswith("hydra."):
        return False  # here, files add to each other's entries
    kinds = hints.alternatives(hint_at(key, composed))
    return any(kind is dict or typing.get_origin(kind) is dict for kind in kinds)


def _misread(default: ResultDefault, repository: Repository, composed: DictConfig) -> list[str]:
    """A text for every value in a file that differs from what its characters say."""
    path = file_of(str(default.config_path), repository)
    if path is None:
        return []
    texts: list[str] = []
    if _HEADER_WITH_COLON.search(path.read_text()):
        texts.append(f"{path}: a package is written without a colon: `# @package _global_`.")
    package = default.package or ""
    texts += in_file(path, "" if package == "_global_" else package)
    for one in _scalars(path, package):
        where = f"{path}, line {one.line}"
        said = {"where": where, "key": one.key, "text": one.text, "value": one.value}
        if isinstance(one.value, int) and re.search(r"^0\d|:", one.text.lstrip("-+")):
            texts.append(_OTHER_BASE.format(**said))
            continue
        hint = _hint_at(one.key, composed)
        if is_number_for_flag(one.value, hint):
            texts.append(f"{where}: {wrong_value(one.key, one.value, hint, None)}")
        elif str(one.value) != one.text and takes_text(one.value, hint):
            texts.append(_NOT_AS_WRITTEN.format(**said))
    return texts


def _hint_at(key: str, composed: DictConfig) -> Any:
    """The type that is declared for a value, or for the list that it stands in."""
    if enqueued := _ENQUEUED.fullmatch(key):
        return declared(enqueued[1])
    return hint_at(key, composed) or hint_at(re.sub(r"(\.\d+)+$", "", key), composed)


def _scalars(path: Path, package: str) -> Iterator[Scalar]:
    """The values in a file, as YAML reads numbers and booleans, and all else as text."""
    loader = yaml_loader(path.read_text())
    try:
        root = loader.get_single_node()
        if root is not None:
            yield from _below(loader, root, "" if package == "_global_" else package)
    finally:
        loader.dispose()


def _below(loader: yaml.SafeLoader, node: yaml.Node, key: str) -> Iterator[Scalar]:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value != "defaults":
                yield from _below(loader, value, full_key(key, str(name.value)))
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield from _below(loader, value, full_key(key, str(place)))
    elif isinstance(node, yaml.ScalarNode):
        is_number = node.tag.rpartition(":")[2] in ("int", "float", "bool")
        value: Any = cast("Any", loader).construct_object(node) if is_number else node.value
        yield Scalar(key=key, text=node.value, value=value, line=node.start_mark.line + 1)
