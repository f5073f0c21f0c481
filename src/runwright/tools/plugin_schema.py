"""JSON Schema of the YAML files below `conf/hydra/`: launchers and sweepers, by their plugins.

Which options a file may have follows from its `defaults`, as for our own groups; with a `_target_`
of its own it may have any.
"""

import dataclasses
import inspect
import re
import typing
from typing import Any, Final

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from runwright.factory import Option, summary
from runwright.tools.cases import PLUGINS
from runwright.tools.option_schema import Definitions, JsonSchema
from runwright.tools.patterns import any_of, chain, inherits, literal
from runwright.tools.project import ConfFile, Project

_NAMES_A_CLASS: Final[JsonSchema] = {"required": ["_target_"]}
_ALWAYS_THERE: Final = ("hydra.", "runwright.")
_FIELD: Final = re.compile(r"    (\w+): ")


def plugin_schemas(project: Project) -> dict[str, tuple[JsonSchema, list[str]]]:
    """The schemas of the groups of Hydra's plugins that have YAML files, and which files.

    Returns:
        As `file_schema.schemas`: kind → (schema, patterns). They do not depend on what is installed
        beside what the files need.
    """
    Plugins.instance()  # registers them all
    conf = "conf" if project.conf is None else project.conf.name
    kinds: dict[str, tuple[JsonSchema, list[str]]] = {}
    for group in sorted({file.group for file in project.files if file.group.startswith("hydra/")}):
        files = [file for file in project.files if _is_member(file, group)]
        used = {end for file in files for end in project.leads_to(group, file.name)}
        classes = {
            name: cls
            for name, cls in _classes(group).items()
            if name in used or cls.__module__.startswith(_ALWAYS_THERE)
        }
        if classes and files:
            # Not all below: a group within it has other options.
            folders = {f"{group}/{file.name}".rpartition("/")[0] for file in files} | {group}
            patterns = [f"{conf}/{folder}/*.yaml" for folder in sorted(folders)]
            kinds[group.replace("/", ".")] = (_file(project, group, classes), patterns)
    return kinds


def _is_member(file: ConfFile, group: str) -> bool:
    """Whether a file is of the group, and not of one within it, such as the samplers."""
    folder = f"{group}/{file.name.rpartition('/')[0]}".rstrip("/")
    return file.group == group and (folder == group or not _is_group(folder))


def _is_group(path: str) -> bool:
    return ConfigStore.instance().get_type(path) is ObjectType.GROUP


def _classes(group: str) -> dict[str, type[Any]]:
    """The options of each member of a group of Hydra's that declares them."""
    store = ConfigStore.instance()
    names = store.list(group) if _is_group(group) else []
    nodes = {
        name.removesuffix(".yaml"): store.load(f"{group}/{name}").node
        for name in names
        if not _is_group(f"{group}/{name}")
    }
    types = {name: OmegaConf.get_type(node) for name, node in nodes.items()}
    return {name: cls for name, cls in types.items() if cls and dataclasses.is_dataclass(cls)}


def _file(project: Project, group: str, classes: dict[str, type[Any]]) -> JsonSchema:
    """A file of a group."""
    definitions = Definitions()
    members = {name: _options(cls, group, definitions) for name, cls in sorted(classes.items())}
    known = sorted({*project.members(group), *classes, *PLUGINS})
    # Of another base it is not known which options it has.
    otherwise = {"anyOf": [*members.values(), {"required": ["defaults"]}]}
    by_base = [
        (inherits(group, [one for one in known if name in project.leads_to(group, one)]), member)
        for name, member in members.items()
    ]
    return {
        "title": group,
        "type": "object",
        "properties": {"defaults": _defaults(group, known)},
        "if": _NAMES_A_CLASS,
        "then": {},
        "else": chain(by_base, otherwise),
        "definitions": definitions.content,
    }


def _options(cls: type[Any], group: str, definitions: Definitions) -> JsonSchema:
    """The options that a plugin declares, none of which need be given."""
    key = cls.__name__
    if key not in definitions.content:
        hints = typing.get_type_hints(cls)
        comments = _comments(cls)
        properties: dict[str, JsonSchema] = {"defaults": {}}
        for field in dataclasses.fields(cls):
            choices = _classes(f"{group}/{field.name}").values()
            if choices:  # a group within this one
                allowed = [_options(choice, group, definitions) for choice in choices]
                properties[field.name] = {"anyOf": [*allowed, _NAMES_A_CLASS]}
            elif field.name != "defaults":
                option = Option(doc=comments.get(field.name, ""))
                properties[field.name] = definitions.option(field, hints[field.name], option)
        is_made_up = (cls.__doc__ or "").startswith(f"{key}(")  # by @dataclass
        definitions.content[key] = {
            "title": key,
            "description": "" if is_made_up else summary(cls),
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
    return {"$ref": f"#/definitions/{key}"}


def _comments(cls: type[Any]) -> dict[str, str]:
    """What the source says above each option, for want of a description that can be read."""
    said: dict[str, str] = {}
    for base in reversed([one for one in cls.__mro__ if dataclasses.is_dataclass(one)]):
        above: list[str] = []
        for line in inspect.getsource(base).splitlines():
            if line.strip().startswith("#"):
                above.append(line.strip().lstrip("# "))
                continue
            if above and (field := _FIELD.match(line)):
                said[field[1]] = " ".join(above)
            above = []
    return said


def _defaults(group: str, names: list[str]) -> JsonSchema:
    """A `defaults` list: members of the group, choices of the groups within it and of others."""
    within = {
        name: _classes(f"{group}/{name}")
        for name in ConfigStore.instance().list(group)
        if _is_group(f"{group}/{name}")
    }
    prefix = f"^((optional|override) )?(/{literal(group)}/)?"
    choices = {
        f"{prefix}{literal(name)}(@.+)?$": {"enum": [*classes, None]}
        for name, classes in within.items()
    }
    entry = f"^(/{literal(group)}/)?{any_of(names)}(@.+)?$"
    return {
        "description": "What is composed, in this order; the later wins.",
        "type": "array",
        "items": {
            "anyOf": [
                {"enum": ["_self_", *names]},
                {
                    "type": "object",
                    "properties": {f"override {n}": {"enum": [*c]} for n, c in within.items()},
                    "patternProperties": choices,
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
                {"type": "string", "pattern": entry},
            ]
        },
    }
