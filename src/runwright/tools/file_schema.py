"""JSON Schema of each kind of YAML file: members of a group, primary configurations, experiments.

Which options a block may have follows from the `defaults` list of the file: below
`override /model: cnn`, those of the cnn. A YAML file that builds on another is followed to the
factory at the end.
"""

import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from runwright.compose.schema import SCHEMA_NAME
from runwright.factory import CONFIG_GROUPS, Settings
from runwright.tools.option_schema import INTERPOLATION, Definitions, JsonSchema
from runwright.tools.patterns import any_of, chain, inherits, literal
from runwright.tools.plugin_schema import plugin_schemas
from runwright.tools.project import ConfFile, Project

COMMENT: Final = "Made by `python -m runwright schema`; changes by hand are lost."
"""What every file begins with."""

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_EXPERIMENT: Final = "experiment"
_HYDRA: Final = "hydra"
# Where runs leave their config.yaml.
_RUN_DIRECTORIES: Final = ("outputs/**/config.yaml", "multirun/**/config.yaml")


def schemas(project: Project) -> dict[str, tuple[JsonSchema, list[str]]]:
    """The schemas of a project, and the files that each is for.

    Returns:
        kind → (schema, patterns of paths below the project's folder). The kinds are `config` (the
        primary configurations, and the `config.yaml` in run directories), `experiment` (what is
        composed over it), each group of factories, each other part of the configuration that has
        a folder of YAML files, such as `opt`, and each group of Hydra's plugins that has one.
    """
    conf = "conf" if project.conf is None else project.conf.name
    parts = _parts(project)
    folders = {file.group for file in project.files}
    of_experiments = sorted({f.group for f in project.files if _is_experiment(f, parts)})
    primary = [f"{conf}/{file.name}.yaml" for file in project.files if not file.group]
    kinds: dict[str, tuple[JsonSchema, list[str]]] = {
        "config": (
            _whole(project, parts, is_primary=True),
            [*(primary or [f"{conf}/config.yaml"]), *_RUN_DIRECTORIES],
        ),
        _EXPERIMENT: (
            _whole(project, parts, is_primary=False),
            [f"{conf}/{folder}/**/*.yaml" for folder in of_experiments or [_EXPERIMENT]],
        ),
    }
    for group, cls in parts.items():
        if group in CONFIG_GROUPS or group in folders:
            name = group.replace("/", ".")
            kinds[name] = (_member(project, group, cls), [f"{conf}/{group}/**/*.yaml"])
    kinds |= plugin_schemas(project)
    head = {"$schema": _DRAFT, "$comment": COMMENT}
    return {kind: ({**head, **schema}, patterns) for kind, (schema, patterns) in kinds.items()}


def _is_experiment(file: ConfFile, parts: Collection[str]) -> bool:
    """Whether a file is composed over the whole configuration, not below one part of it."""
    return bool(file.group) and file.group not in parts and not file.group.startswith(_HYDRA)


def _parts(project: Project) -> dict[str, type[Settings] | None]:
    """The groups of YAML files that hold options: the class where there is but one, or None."""
    fields = typing.get_type_hints(project.config)
    single = {
        name: hint
        for name, hint in fields.items()
        if isinstance(hint, type) and issubclass(hint, Settings) and hint.config_group is None
    }
    return {**dict.fromkeys(sorted(CONFIG_GROUPS)), **single}


def _whole(
    project: Project, parts: Mapping[str, type[Settings] | None], *, is_primary: bool
) -> JsonSchema:
    """A file that may say something about every part of the configuration."""
    definitions = Definitions()
    definitions.settings(project.config)
    root = definitions.content.pop(project.config.__name__)
    properties: dict[str, JsonSchema] = root["properties"]
    follows: list[JsonSchema] = []
    for name, hint in typing.get_type_hints(project.config).items():
        group = getattr(hint, "config_group", None)
        if group is None or group not in CONFIG_GROUPS:
            continue
        described, any_member = properties[name], definitions.group(group)
        properties[name] = {"description": described["description"]}
        cases = {
            factory: ({"properties": {name: definitions.settings(CONFIG_GROUPS[group][factory])}})
            for factory in sorted(CONFIG_GROUPS[group])
        }
        follows.append(
            chain(
                [(_chooses(group, _names(project, group, f)), then) for f, then in cases.items()],
                {"properties": {name: any_member}},
            )
        )
    strings = [SCHEMA_NAME, *(file.name for file in project.files if not file.group)]
    if not is_primary:
        strings = [file.name for file in project.files if _is_experiment(file, parts)]
    return {
        "title": "primary configuration" if is_primary else "experiment",
        "description": root["description"],
        "type": ["object", "null"],
        "properties": {
            "defaults": {"$ref": "#/definitions/defaults"},
            **properties,
            "hydra": {"description": "Hydra's own settings", "type": "object"},
        },
        "additionalProperties": False,
        "allOf": follows,
        "definitions": {
            "defaults": _defaults(project, strings, slash="" if is_primary else "/"),
            **definitions.content,
        },
    }


def _member(project: Project, group: str, cls: type[Settings] | None) -> JsonSchema:
    """A file of a group."""
    definitions = Definitions()
    if cls is not None:
        options = definitions.settings(cls, has_defaults=True)
    else:
        members = {
            name: definitions.settings(member, has_defaults=True)
            for name, member in sorted(CONFIG_GROUPS[group].items())
        }
        options = chain(
            [
                (inherits(group, _names(project, group, name)), member)
                for name, member in members.items()
            ],
            {"anyOf": list(members.values())},
        )
    own = [name for name in project.members(group) if cls is None or name != group]
    return {
        "title": group,
        "type": "object",
        "properties": {"defaults": {"$ref": "#/definitions/defaults"}},
        **options,
        "definitions": {
            "defaults": _defaults(project, own, slash="/"),
            **definitions.content,
        },
    }


def _names(project: Project, group: str, factory: str) -> list[str]:
    """The members of a group whose options are those of a factory: itself, and YAML files."""
    return [name for name in project.members(group) if project.factory_of(group, name) == factory]


def _chooses(group: str, names: Iterable[str]) -> JsonSchema:
    """Holds for a file whose defaults choose one of these members of a group."""
    entry = {
        "type": "object",
        "minProperties": 1,
        "patternProperties": {f"^(override )?/?{literal(group)}$": {"enum": list(names)}},
        "additionalProperties": False,
    }
    return {"required": ["defaults"], "properties": {"defaults": {"contains": entry}}}


def _defaults(project: Project, strings: Iterable[str], *, slash: str) -> JsonSchema:
    """A `defaults` list.

    Args:
        project: what there is to choose from.
        strings: the entries that are names alone.
        slash: what stands before the name of a group.
    """
    groups = sorted({*CONFIG_GROUPS, *(file.group for file in project.files)} - {""})
    ours = [group for group in groups if not group.startswith(_HYDRA)]
    paths = [f"{group}/{name}" for group in ours for name in project.members(group)]
    named = f"^/{any_of(paths)}(@.+)?$"
    choices = {group: _choice(project.members(group)) for group in ours}
    by_pattern = {
        f"^((optional|override) )?{slash or '/?'}{literal(group)}(@.+)?$": choice
        for group, choice in choices.items()
    }
    anything: JsonSchema = {"type": ["string", "array", "null"]}  # Hydra and its plugins bring more
    by_pattern[f"^((optional|override) )?/?{_HYDRA}/"] = anything
    listed = {f"override /{group}" if slash else group: choice for group, choice in choices.items()}
    listed |= {
        f"override /{group}": {"anyOf": [{"enum": project.members(group)}, anything]}
        for group in groups
        if group not in ours
    }
    return {
        "description": "What is composed, in this order; the later wins.",
        "type": "array",
        "items": {
            "anyOf": [
                {"enum": ["_self_", *strings]},
                {
                    "type": "object",
                    "properties": listed,
                    "patternProperties": by_pattern,
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
                {"type": "string", "pattern": named},
            ]
        },
    }


def _choice(members: list[str]) -> JsonSchema:
    """One member of a group, several, none, or one that is still to be chosen."""
    return {
        "anyOf": [
            {"enum": [*members, None]},
            {"type": "array", "items": {"enum": members}},
            {"type": "string", "pattern": INTERPOLATION},
        ]
    }
