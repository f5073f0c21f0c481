"""JSON Schema of each kind of YAML file: members of a group, primary configurations, experiments.

Which options a file or a block in it may have follows from its `defaults` list: after
`override /model: cnn`, those of the cnn. A YAML file that builds on another is followed to its
factory.
"""

import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from hydra.core.config_loader import ConfigLoader

from runwright.compose.schema import SCHEMA_NAME
from runwright.factory import CONFIG_GROUPS, Settings, is_settings
from runwright.tools.project import Project
from runwright.tools.schema.options import (
    INTERPOLATION,
    Definitions,
    JsonSchema,
    classes,
    is_stored,
)

_Members: TypeAlias = Mapping[str, list[str]]
"""Group → everything that can be chosen in it."""

_EXPERIMENT: Final = "experiment"
_PLUGINS: Final = ("hydra/launcher", "hydra/sweeper")
_SPECIAL: Final = re.compile(r"([.*+?^$|\\(){}\[\]])")
_ESCAPED: Final = r"\\\1"
_ONE_KEY: Final = {"type": "object", "minProperties": 1, "additionalProperties": False}


def schemas(project: Project) -> dict[str, tuple[JsonSchema, list[str]]]:
    """The schemas of a project, and the files that each is for.

    Returns:
        kind → (schema, patterns of paths below the project's folder). The kinds are `config` (the
        primary configurations), `experiment` (what is composed over it), each group of factories,
        launchers, sweepers, and each other part of the configuration that has a folder of YAML
        files, such as `training`.
    """
    folder = project.root / "conf" if project.conf is None else project.conf
    conf = folder.relative_to(project.root).as_posix()
    with_files = {file.group for file in project.files if file.group}
    groups = {*CONFIG_GROUPS, *with_files, *_groups_of_hydra(project.loader)}
    members = {group: project.members(group) for group in sorted(groups)}
    parts: dict[str, type[Settings] | None] = dict.fromkeys((*CONFIG_GROUPS, *_PLUGINS))
    for name, hint in typing.get_type_hints(project.config).items():
        if name in groups - parts.keys() and isinstance(hint, type) and is_settings(hint):
            parts[name] = hint
    primary = [file.name for file in project.files if not file.group] or ["config"]
    over_all = [one for one in members if one not in parts and not one.startswith("hydra/")]
    experiments = [name for group in over_all for name in members[group]]
    kinds = {
        "config": (
            _whole(project, members, "", [SCHEMA_NAME, *primary]),
            [f"{conf}/{name}.yaml" for name in primary],
        ),
        _EXPERIMENT: (
            _whole(project, members, _EXPERIMENT, experiments),
            [f"{conf}/{group}/**/*.yaml" for group in over_all or [_EXPERIMENT]],
        ),
    }
    for group, cls in sorted(parts.items()):
        patterns = [f"{conf}/{group}/**/*.yaml"]
        if group in _PLUGINS:  # not everything below: a group within it has other options
            files = [file for file in project.files if file.group == group]
            within = {f"{group}/{file.name}".rpartition("/")[0] for file in files} - groups
            patterns = [f"{conf}/{folder}/*.yaml" for folder in sorted({group, *within})]
        kinds[group.replace("/", ".")] = (_part(project, members, group, cls), patterns)
    return kinds


def _whole(project: Project, members: _Members, place: str, names: list[str]) -> JsonSchema:
    """A file that may set any part of the configuration."""
    definitions = Definitions()
    options = definitions.options(project.config, None)
    properties: dict[str, JsonSchema] = options["properties"]
    follows: list[JsonSchema] = []
    for name, hint in typing.get_type_hints(project.config).items():
        if (group := getattr(hint, "config_group", None)) in CONFIG_GROUPS:
            properties[name] = {"description": properties[name]["description"]}
            follows.append(_chosen(project, definitions, group, name))
    hydra = {"description": "Hydra's own settings", "type": "object"}
    properties |= {"defaults": _defaults(members, place, names), "hydra": hydra}
    about = {"type": ["object", "null"], "allOf": follows, "definitions": definitions.content}
    return {**options, **about}


def _part(project: Project, members: _Members, group: str, cls: type[Any] | None) -> JsonSchema:
    """A file with the options of one class, or else of one of the members of a group."""
    definitions = Definitions()
    options = definitions.block(cls, group) if cls else _chosen(project, definitions, group)
    if group in _PLUGINS:  # with a custom `_target_` it may have any options
        options = {"if": {"required": ["_target_"]}, "else": options}
    defaults = _defaults(members, group, members[group])
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

    path = _any([group])
    found: JsonSchema = placed(definitions.any_member(group))
    for leading_to, cls in classes(group).items():
        members = [m for m in project.members(group) if leading_to in project.leads_to(group, m)]
        entry = {**_ONE_KEY, "patternProperties": {_key(f"/?{path}"): {"enum": members}}}
        if name is None:
            entry = {"type": "string", "pattern": f"^(/{path}/)?{_any(members)}(@.+)?$"}
        condition = {"required": ["defaults"], "properties": {"defaults": {"contains": entry}}}
        found = {"if": condition, "then": placed(definitions.block(cls, group)), "else": found}
    return found


def _defaults(members: _Members, place: str, names: list[str]) -> JsonSchema:
    """A `defaults` list in a folder; `names` are the entries that are only names."""
    keys: dict[str, JsonSchema] = {}
    patterns: dict[str, JsonSchema] = {}
    for group, choices in members.items():
        several = {"type": "array", "items": {"enum": choices}}
        choice: JsonSchema = {"anyOf": [{"enum": [*choices, None]}, several, INTERPOLATION]}
        path, short = f"/{group}", group.removeprefix(f"{place}/")
        is_elsewhere = bool(place) and short == group
        paths = [path] if is_elsewhere else [short, path]
        patterns[_key(_any(paths))] = keys[f"override {paths[0]}"] = choice
        if not is_elsewhere:
            keys[short] = choice
    named = [f"/{group}/{one}" for group, choices in members.items() for one in choices]
    entries = [
        {"enum": ["_self_", *names]},
        {**_ONE_KEY, "maxProperties": 1, "properties": keys, "patternProperties": patterns},
        {"type": "string", "pattern": f"^{_any([*named, *names])}(@.+)?$"},
    ]
    about = "What is composed, in this order; the later wins."
    return {"description": about, "type": "array", "items": {"anyOf": entries}}


def _groups_of_hydra(loader: ConfigLoader) -> Iterator[str]:
    """`hydra/launcher`, `hydra/sweeper/sampler`; a folder of a project's files is not a group."""
    for group in (f"hydra/{name}" for name in loader.list_groups("hydra")):
        yield group
        yield from (one for n in loader.list_groups(group) if is_stored(one := f"{group}/{n}"))


def _key(path: str) -> str:
    """The key of an entry of the `defaults` that chooses a member of the group at this path."""
    return f"^((optional|override) )?{path}(@.+)?$"


def _any(names: Iterable[str]) -> str:
    """A pattern for exactly these names; `re.escape` escapes more than JavaScript understands."""
    return f"({'|'.join(_SPECIAL.sub(_ESCAPED, name) for name in names)})"
