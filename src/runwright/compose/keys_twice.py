"""Keys that a dictionary is given more than once: Hydra and YAML keep the last one silently."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from runwright.compose._omegaconf import yaml_loader
from runwright.compose.values import split
from runwright.factory import full_key

_TWICE: Final = "{key} is given twice. Keep only one."
_WITHIN: Final = re.compile(r"(\w*)([\[({])(.*)[\])}]", re.DOTALL)


def in_override(text: str) -> Iterator[str]:
    """A text for every key that is twice in a dictionary of an override.

    Args:
        text: the override, which Hydra's grammar accepts.
    """
    key, _, value = text.partition("=")
    for twice in dict.fromkeys(_in_value(value, key.lstrip("+"))):
        yield f"{text}: {_TWICE.format(key=twice)}"


def _in_value(text: str, above: str) -> Iterator[str]:
    parts = [part.strip() for part in split(text)]
    if len(parts) > 1:
        for part in parts:
            yield from _in_value(part, above)
        return
    found = _WITHIN.fullmatch(parts[0]) if parts else None
    if found is None:
        return
    if found[2] != "{":
        yield from _in_value(found[3], above)
        return
    items = [part.partition(":") for part in split(found[3])]
    keys = [_key(name) for name, _, _ in items]
    yield from (full_key(above, str(name)) for name in _repeated(keys))
    for name, _, value in items:
        yield from _in_value(value, full_key(above, name.strip()))


def _key(text: str) -> Any:
    parsed: Any = OverridesParser.create().parse_override(f"_={{{text}:0}}").value()
    return next(iter(parsed))


def in_file(path: Path, package: str) -> Iterator[str]:
    """A text for every key that is twice in a dictionary of a YAML file.

    OmegaConf refuses a text that is twice itself, but not a number.

    Args:
        path: the file.
        package: the full key of the options that the file is for; "" for all.
    """
    loader = yaml_loader(path.read_text())
    try:
        if (root := loader.get_single_node()) is not None:
            for key, line in _below(loader, root, package):
                yield f"{path}, line {line}: {_TWICE.format(key=key)}"
    finally:
        loader.dispose()


def _below(loader: yaml.SafeLoader, node: yaml.Node, above: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.SequenceNode):
        for place, below in enumerate(node.value):
            yield from _below(loader, below, full_key(above, str(place)))
    if not isinstance(node, yaml.MappingNode):
        return
    names = [cast("Any", loader).construct_object(name, deep=True) for name, _ in node.value]
    for twice in _repeated(names):
        last = max(place for place, name in enumerate(names) if name == twice)
        yield full_key(above, str(twice)), node.value[last][0].start_mark.line + 1
    for name, (_, below) in zip(names, node.value, strict=True):
        yield from _below(loader, below, full_key(above, str(name)))


def explained(error: BaseException) -> str | None:
    """The text for what OmegaConf says of a text that is twice; None if the error is another."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return None
    found = re.fullmatch("found duplicate key (.*)", error.problem or "")
    where = f"{error.problem_mark.name}, line {error.problem_mark.line + 1}"
    return found and f"{where}: {_TWICE.format(key=found[1])}"


def _repeated(keys: Sequence[Any]) -> list[Any]:
    return [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
