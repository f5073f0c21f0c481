"""The text of `--help`: the groups, then every option with its value, type, bounds and meaning."""

import dataclasses
import json
import math
import shutil
import sys
import textwrap
import typing
from typing import Any, Final, cast

import yaml
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from runwright.cli.group_listing import members
from runwright.compose._hydra import Hydra
from runwright.compose._omegaconf import child
from runwright.compose.convert import without_hydra
from runwright.compose.schema import following
from runwright.compose.typed_nodes import containers_in, own_keys
from runwright.compose.yaml_text import to_yaml
from runwright.factory import described, name_of, summary, with_own_keys
from runwright.plain import plain_values

_COLUMN: Final = 34
_LEAST_WIDTH: Final = 80  # half of it is for the descriptions
_HEADER: Final = """\
== Configuration groups ==
Compose your configuration from those groups (group=option)

{groups}
== Config ==
Override anything in the config (foo.bar=value)

{config}
Other flags: --multirun (-m) runs all combinations of comma-separated values;
--cfg job prints the configuration as YAML; --info shows where it comes from;
--hydra-help lists the rest.
"""


def help_text(
    hydra: Hydra, config_name: str, overrides: list[str], *, width: float = math.inf
) -> str:
    """The help for the configuration that these overrides make.

    Args:
        hydra: composes the configuration.
        config_name: the primary configuration, without `.yaml`.
        overrides: the overrides on the command line.
        width: where to break lines, in characters.
    """
    composed = hydra.compose_config(
        config_name=config_name, overrides=overrides, run_mode=RunMode.RUN
    )
    groups = "\n".join(_group(name, found, width) for name, found in members(hydra).items())
    return _HEADER.format(groups=groups, config=_block(without_hydra(composed), 0, width))


def _group(name: str, found: dict[str, str], width: float) -> str:
    """A group, and a line for each of its members."""
    lines = [_line(f"  {member}", about, width) for member, about in found.items()]
    return "\n".join([f"{name}:", *lines]) + "\n"


def terminal_width() -> float:
    """Where to break lines: only on a terminal, so that `| grep` finds a whole option."""
    if sys.stdout is None or not sys.stdout.isatty():
        return math.inf
    return max(_LEAST_WIDTH, shutil.get_terminal_size().columns)


def _block(node: DictConfig, depth: int, width: float) -> str:
    cls = cast("Any", OmegaConf.get_type(node))
    hints = typing.get_type_hints(cls)
    indent = "  " * depth
    lines: list[str] = []
    plain = cast("dict[str, Any]", OmegaConf.to_container(node, enum_to_str=True))
    hints |= dict.fromkeys(own_keys(node), Any)
    cls = with_own_keys(cls, own_keys(node))
    for field in dataclasses.fields(cls):
        option = described(field)
        value = None if OmegaConf.is_missing(node, field.name) else child(node, field.name)
        meaning = f"{option.written_type(hints[field.name])}: {option.doc}"
        entries = [] if not isinstance(value, DictConfig | ListConfig) else _entries(value)
        if isinstance(value, DictConfig) and _has_options(value):
            chosen = cast("Any", OmegaConf.get_type(value))
            name = name_of(chosen)
            meaning = f"{name}: {summary(chosen)}" if name else option.doc
            lines.append(_line(f"{indent}{field.name}:", meaning, width))
            lines.append(_block(value, depth + 1, width).rstrip("\n"))
        elif entries:
            lines.append(_line(f"{indent}{field.name}:", meaning, width))
            for place, entry in entries:
                meaning = summary(cast("Any", OmegaConf.get_type(entry)))
                lines.append(_line(f"{indent}  {place}:", meaning, width))
                lines.append(_block(entry, depth + 2, width).rstrip("\n"))
        else:
            is_followed = plain[field.name] == following(option, field.default)
            shown = _shown(node[field.name] if is_followed else plain[field.name])
            lines.append(_line(f"{indent}{field.name}: {shown}", meaning, width))
    return "\n".join(line for line in lines if line) + "\n"


def _entries(node: DictConfig | ListConfig) -> list[tuple[str, DictConfig]]:
    """What has options of its own in a list or dictionary, with its place or name."""
    found = [(place, below) for place, below in containers_in(node)]
    return [
        (place, one) for place, one in found if isinstance(one, DictConfig) and _has_options(one)
    ]


def _has_options(node: DictConfig) -> bool:
    return dataclasses.is_dataclass(OmegaConf.get_type(node))


def _line(left: str, right: str, width: float) -> str:
    """An option and its description, broken so that the description stays in its column."""
    if not right:
        return left
    whole = f"{left.ljust(_COLUMN)}  # {right}"
    if len(whole) <= width:
        return whole
    return textwrap.fill(
        right,
        width=int(width),
        initial_indent=f"{left.ljust(_COLUMN)}  # ",
        subsequent_indent=f"{'':{_COLUMN}}  # ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _shown(value: Any) -> str:
    """A plain value as YAML, on one line."""
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, list | dict):
        plain = plain_values(value)
        return yaml.safe_dump(
            plain, default_flow_style=True, sort_keys=False, width=math.inf
        ).strip()
    text = to_yaml({"value": value}).removeprefix("value:")
    return " ".join(part.strip() for part in text.splitlines()).strip()
