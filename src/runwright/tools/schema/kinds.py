"""JSON Schema of each kind of YAML file: members of a group, primary configurations, experiments.

Which options a file or a block in it may have follows from its `defaults` list: after
`override /model: cnn`, those of the cnn. Files that build on others are followed to a factory.
"""

import re
import typing
from collections.abc import Iterable
from typing import Any, Final

from runwright.compose.members import classes_in
from runwright.compose.schema import SCHEMA_NAME
from runwright.factory import CONFIG_GROUPS, group_of, is_settings
from runwright.tools.project import Project
from runwright.tools.schema.options import INTERPOLATION, Definitions, JsonSchema

_EXPERIMENT: Final = "experiment"
_PLUGINS: Final = ("hydra/launcher", "hydra/sweeper")
_ONE_KEY: Final = {"type": "object", "minProperties": 1, "additionalProperties": False}


def schemas(project: Project) -> dict[str, tuple[JsonSchema, list[str]]]:
    """The schemas of a project, and the files that each is for.

    Returns:
        kind → (schema, patterns of paths below the project's folder). The kinds are `config` (the
        primary configurations), `experiment` (what is composed over it), each group of factories,
        launchers, sweepers, and each other part of the configuration, such as `training`.
    """
    folder = project.root / "conf" if project.conf is None else project.conf
    conf = folder.relative_to(project.root).as_posix()
    parts: dict[str, type[Any] | None] = dict.fromkeys((*_PLUGINS, *CONFIG_GROUPS))
    for name, hint in typing.get_type_hints(project.config).items():
        if name not in parts and is_settings(hint):
            parts[name] = hint
    primary = [file.name for file in project.files if not file.group] or ["config"]
    files = [f"{conf}/{name}.yaml" for name in primary]
    kinds = {"config": (_whole(project, "", [SCHEMA_NAME, *primary]), files)}
    above = {group.partition("/")[0] for group in project.groups()}
    over_all = sorted(above - {*parts, "hydra"}) or [_EXPERIMENT]
    names = [name for group in over_all for name in project.members(group)]
    files = [f"{conf}/{group}/**/*.yaml" for group in over_all]
    kinds[_EXPERIMENT] = (_whole(project, _EXPERIMENT, names), files)
    for group, cls in sorted(parts.items()):
        below = [one for one in project.groups() if one.startswith(f"{group}/")]
        # A group within it, hydra/sweeper/pruner, has other options; another folder the same.
        folders = [group, *(folder for folder in below if not classes_in(folder))]
        files = [f"{conf}/{folder}/*.yaml" for folder in folders]
        kinds[group.replace("/", ".")] = (_part(project, group, cls), files)
    return kinds


def _whole(project: Project, place: str, names: list[str]) -> JsonSchema:
    """A file in a folder that may set any part of the configuration.

    In its `defaults`, `names` are the entries that are only names.
    """
    definitions, chosen = Definitions(), list[JsonSchema]()
    options = definitions.options(project.config)
    properties: dict[str, JsonSchema] = options["properties"]
    for name, hint in typing.get_type_hints(project.config).items():
        if (group := group_of(hint)) is not None:
            properties[name] = {"description": properties[name]["description"]}
            chosen.append(_chosen(project, definitions, group, name))
    properties["hydra"] = {"description": "Hydra's own settings", "type": "object"}
    properties["defaults"] = _defaults(project, place, names)
    about = {"type": ["object", "null"], "allOf": chosen, "definitions": definitions.content}
    return {**options, **about}


def _part(project: Project, group: str, cls: type[Any] | None) -> JsonSchema:
    """A file with the options of a class, or else of one of the members of a group."""
    definitions = Definitions()
    options = definitions.block(cls) if cls else _chosen(project, definitions, group)
    if group in _PLUGINS:  # with a custom `_target_` it may have any options
        options = {"if": {"required": ["_target_"]}, "else": options}
    defaults = _defaults(project, group, project.members(group))
    about = {"type": "object", "properties": {"defaults": defaults}, "allOf": [options]}
    return {**about, "definitions": definitions.content}


def _chosen(
    project: Project, definitions: Definitions, group: str, name: str | None = None
) -> JsonSchema:
    """The options of the member of a group that the `defaults` choose, or else of any one.

    They are those of the block `name`, or of the whole file, if it is a member itself.
    """

    def placed(options: JsonSchema) -> JsonSchema:
        return options if name is None else {"properties": {name: options}}

    found = placed(definitions.any_of(classes_in(group).values(), group))
    members = project.members(group)
    for factory, cls in classes_in(group).items():
        choices = [one for one in members if factory in project.leads_to(group, one)]
        keys = {_key(group, f"/{group}"): {"enum": choices}}
        entry: JsonSchema = {**_ONE_KEY, "patternProperties": keys}
        if name is None:
            pattern = f"^(/{re.escape(group)}/)?{_any(choices)}(@.+)?$"
            entry = {"type": "string", "pattern": pattern}
        condition = {"required": ["defaults"], "properties": {"defaults": {"contains": entry}}}
        found = {"if": condition, "then": placed(definitions.block(cls, group)), "else": found}
    return found


def _defaults(project: Project, place: str, names: list[str]) -> JsonSchema:
    """A `defaults` list in a folder; `names` are the entries that are only names."""
    keys: dict[str, JsonSchema] = {}
    patterns: dict[str, JsonSchema] = {}
    for group in project.groups():
        names_or_none = {"enum": [*project.members(group), None]}
        choice: JsonSchema = {"anyOf": [names_or_none, {"type": "array"}, INTERPOLATION]}
        paths = [f"/{group}"]
        if not place or group.startswith(f"{place}/"):
            paths.insert(0, group.removeprefix(f"{place}/"))
        keys |= {paths[0]: choice, f"override {paths[0]}": choice}
        patterns[_key(*paths)] = choice
    entries = [
        {"enum": ["_self_", *names]},
        {**_ONE_KEY, "maxProperties": 1, "properties": keys, "patternProperties": patterns},
        {"type": "string", "pattern": f"^(/.+|{_any(names)}(@.+)?)$"},
    ]
    about = "What is composed, in this order; the later wins."
    return {"description": about, "type": "array", "items": {"anyOf": entries}}


def _key(*paths: str) -> str:
    """The key of an entry of the `defaults` that chooses a member of the group at these paths."""
    return f"^((optional|override) )?{_any(paths)}(@.+)?$"


def _any(names: Iterable[str]) -> str:
    """A pattern for exactly these names."""
    return f"({'|'.join(map(re.escape, names))})"
