"""JSON Schema of each kind of YAML file: members of a group, primary configurations, experiments.

Which options a file or a block in it may have follows from its `defaults` list: after
`override /model: cnn`, those of the cnn. A YAML file that builds on another is followed to its
factory.
"""

import dataclasses
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from omegaconf import OmegaConf

from runwright.compose.schema import SCHEMA_NAME
from runwright.factory import CONFIG_GROUPS, Settings
from runwright.tools.project import Project
from runwright.tools.schema.options import INTERPOLATION, Definitions, JsonSchema

Members: TypeAlias = Mapping[str, list[str]]
"""Group → everything that can be chosen in it."""

_EXPERIMENT: Final = "experiment"
_PLUGINS: Final = ("hydra/launcher", "hydra/sweeper")
# Where runs leave their config.yaml.
_RUN_DIRECTORIES: Final = ("outputs/**/config.yaml", "multirun/**/config.yaml")


def schemas(project: Project) -> dict[str, tuple[JsonSchema, list[str]]]:
    """The schemas of a project, and the files that each is for.

    Returns:
        kind → (schema, patterns of paths below the project's folder). The kinds are `config` (the
        primary configurations, and the `config.yaml` in run directories), `experiment` (what is
        composed over it), each group of factories, launchers, sweepers, and each other part of the
        configuration that has a folder of YAML files, such as `opt`.
    """
    folder = project.root / "conf" if project.conf is None else project.conf
    conf = folder.relative_to(project.root).as_posix()
    groups = {*CONFIG_GROUPS, *(file.group for file in project.files if file.group)}
    groups |= set(_groups_of_hydra(project.loader))
    members = {group: project.members(group) for group in sorted(groups)}
    parts = dict.fromkeys((*CONFIG_GROUPS, *_PLUGINS)) | {
        name: hint
        for name, hint in typing.get_type_hints(project.config).items()
        if _is_settings(hint) and hint.config_group is None and name in groups
    }
    primary = [file.name for file in project.files if not file.group] or ["config"]
    over_all = [one for one in members if one not in parts and not one.startswith("hydra/")]
    experiments = [name for group in over_all for name in members[group]]
    kinds = {
        "config": (
            _whole(project, members, "", [SCHEMA_NAME, *primary]),
            [*(f"{conf}/{name}.yaml" for name in primary), *_RUN_DIRECTORIES],
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


def _whole(project: Project, members: Members, place: str, names: list[str]) -> JsonSchema:
    """A file that may set any part of the configuration."""
    definitions = Definitions(_classes)
    options = definitions.options(project.config, None)
    properties: dict[str, JsonSchema] = options["properties"]
    follows: list[JsonSchema] = []
    for name, hint in typing.get_type_hints(project.config).items():
        group: str | None = getattr(hint, "config_group", None)
        if group is None or group not in CONFIG_GROUPS:
            continue
        properties[name] = {"description": properties[name]["description"]}
        cases = [
            (
                {
                    "type": "object",
                    "minProperties": 1,
                    "patternProperties": {_key(f"/?{_literal(group)}"): {"enum": choices}},
                    "additionalProperties": False,
                },
                {"properties": {name: definitions.block(cls, group)}},
            )
            for cls, choices in _leading_to(project, members, group)
        ]
        follows.append(_chain(cases, {"properties": {name: definitions.any_member(group)}}))
    hydra = {"description": "Hydra's own settings", "type": "object"}
    defaults = _defaults(members, place, names)
    return {
        **options,
        "type": ["object", "null"],
        "properties": {"defaults": defaults, **properties, "hydra": hydra},
        "allOf": follows,
        "definitions": definitions.content,
    }


def _part(project: Project, members: Members, group: str, cls: type[Settings] | None) -> JsonSchema:
    """A file with the options of one class, or else of one of the members of a group."""
    definitions = Definitions(_classes)

    def options(cls: type[Any]) -> JsonSchema:
        holds = definitions.options(cls, group)
        return {**holds, "properties": {"defaults": {}, **holds["properties"]}}

    if cls is not None:
        allowed = options(cls)
    else:
        cases = [
            ({"type": "string", "pattern": _entry(group, names)}, options(cls))
            for cls, names in _leading_to(project, members, group)
        ]
        allowed = _chain(cases, {"anyOf": [options(cls) for cls in _classes(group).values()]})
    if group in _PLUGINS:  # with a custom `_target_` it may have any options
        allowed = {"if": {"required": ["_target_"]}, "then": {}, "else": allowed}
    return {
        "type": "object",
        "properties": {"defaults": _defaults(members, group, members[group])},
        **allowed,
        "definitions": definitions.content,
    }


def _defaults(members: Members, place: str, names: list[str]) -> JsonSchema:
    """A `defaults` list in a folder; `names` are the entries that are only names."""
    keys: dict[str, JsonSchema] = {}
    patterns: dict[str, JsonSchema] = {}
    for group, choices in members.items():
        several = {"type": "array", "items": {"enum": choices}}
        choice: JsonSchema = {"anyOf": [{"enum": [*choices, None]}, several, INTERPOLATION]}
        path, short = f"/{group}", group.removeprefix(f"{place}/")
        if place and short == group:
            patterns[_key(_literal(path))] = keys[f"override {path}"] = choice
        else:
            patterns[_key(_any([path, short]))] = keys[f"override {short}"] = keys[short] = choice
    paths = [f"/{group}/{one}" for group, choices in members.items() for one in choices]
    return {
        "description": "What is composed, in this order; the later wins.",
        "type": "array",
        "items": {
            "anyOf": [
                {"enum": ["_self_", *names]},
                {
                    "type": "object",
                    "properties": keys,
                    "patternProperties": patterns,
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
                {"type": "string", "pattern": f"^{_any([*paths, *names])}(@.+)?$"},
            ]
        },
    }


def _leading_to(
    project: Project, members: Members, group: str
) -> Iterator[tuple[type[Any], list[str]]]:
    """The classes of a group, each with the members whose options it has, YAML files included."""
    for name, cls in _classes(group).items():
        yield cls, [one for one in members[group] if name in project.leads_to(group, one)]


def _groups_of_hydra(loader: ConfigLoader) -> Iterator[str]:
    """`hydra/launcher`, `hydra/sweeper/sampler`; a folder of a project's files is not a group."""
    for group in (f"hydra/{name}" for name in loader.list_groups("hydra")):
        yield group
        yield from (one for n in loader.list_groups(group) if _is_stored(one := f"{group}/{n}"))


def _classes(group: str) -> Mapping[str, type[Any]]:
    """The options of each member of a group that declares them: factories, and Hydra's plugins."""
    if group in CONFIG_GROUPS:
        return dict(sorted(CONFIG_GROUPS[group].items()))
    store = ConfigStore.instance()
    types = {
        name.removesuffix(".yaml"): OmegaConf.get_type(store.load(f"{group}/{name}").node)
        for name in (sorted(store.list(group)) if _is_stored(group) else ())
        if not _is_stored(f"{group}/{name}")
    }
    return {name: cls for name, cls in types.items() if cls and dataclasses.is_dataclass(cls)}


def _is_stored(group: str) -> bool:
    return ConfigStore.instance().get_type(group) is ObjectType.GROUP


def _is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Settings)


def _chain(cases: list[tuple[JsonSchema, JsonSchema]], otherwise: JsonSchema) -> JsonSchema:
    """If the `defaults` have an entry, what follows from it; else the next; else the last."""
    for entry, then in reversed(cases):
        condition = {"required": ["defaults"], "properties": {"defaults": {"contains": entry}}}
        otherwise = {"if": condition, "then": then, "else": otherwise}
    return otherwise


def _entry(group: str, names: Iterable[str]) -> str:
    """An entry of the `defaults` of a group's file that names one of these members of it."""
    return f"^(/{_literal(group)}/)?{_any(names)}(@.+)?$"


def _key(path: str) -> str:
    """The key of an entry of the `defaults` that chooses a member of the group at this path."""
    return f"^((optional|override) )?{path}(@.+)?$"


def _any(names: Iterable[str]) -> str:
    """A pattern for exactly these names."""
    return f"({'|'.join(map(_literal, names))})"


def _literal(name: str) -> str:
    """A pattern for exactly this name; `re.escape` escapes more than JavaScript understands."""
    return re.sub(r"([.*+?^$|\\(){}\[\]])", r"\\\1", name)
