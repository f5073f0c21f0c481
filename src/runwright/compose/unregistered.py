"""A member of a group that a file chooses, and that nothing which was imported has registered."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException

from runwright.compose._hydra import Repository
from runwright.compose.file_shapes import file_of
from runwright.compose.members import groups, nearest_member
from runwright.compose.schema import SCHEMA_NAME, recorded_at
from runwright.domains import NOT_LOADED
from runwright.errors import did_you_mean

_MISSING: Final = re.compile(r"In '(?P<file>[^']+)': Could not (find|load) ")
HOW_TO_IMPORT: Final = (
    'If a module of your own registers it, import that first: `main(factories=["MODULE"])` in '
    "main.py, `import MODULE` in Python, --import MODULE for `python -m runwright`."
)


def explain_missing(
    error: MissingConfigException,
    repository: Repository,
    config_name: str | None,
    overrides: Sequence[Override],
) -> str:
    """Which file chooses what is not there, and what to do.

    Args:
        error: Hydra's.
        repository: the configurations.
        config_name: the primary one.
        overrides: what was chosen on the command line; those files are looked at first.
    """
    missing, first = str(error.missing_cfg_file), str(error).splitlines()[0]
    group = missing.rpartition("/")[0]
    match = _MISSING.match(first)
    if match is None or not group:
        return " ".join([first, nearest_member(repository, missing), *NOT_LOADED.values()])
    chosen = [f"{one.key_or_group}/{one.value()}" for one in overrides]
    # An entry with `override` replaces one of the schema, where Hydra takes it to be.
    of_schema = match["file"] == SCHEMA_NAME
    candidates = [str(config_name), *chosen] if of_schema else [match["file"]]
    found = ((one, entry) for one in candidates for entry in _entries(repository, one, missing))
    where, entry = next(found, (match["file"], missing))
    file = f"{_file_of(repository, where)}: `{entry}`"
    top = group.removeprefix(f"{where.rpartition('/')[0]}/")
    if top != group and ":" in entry and repository.has_group(top):
        # Hydra looked for it next to the file.
        return f"{file}: there is no group '{group}'. Did you mean `override /{entry}`?"
    if repository.has_group(group):
        said = f"there is no such {group}. {nearest_member(repository, missing)}"
    elif ":" not in entry:
        said = f"there is no such file. {nearest_member(repository, missing)}"
    else:
        said = f"there is no group '{group}'. {did_you_mean(group, groups(repository))}"
    return " ".join([f"{file}: {said}", *NOT_LOADED.values(), HOW_TO_IMPORT])


def _file_of(repository: Repository, config: str) -> str:
    """The file of a configuration, e.g. of `model/cnn`."""
    if (record := recorded_at(config)) is not None:
        return str(record)
    return str(file_of(config, repository) or f"{config}.yaml")


def _entries(repository: Repository, config: str, missing: str) -> Iterator[str]:
    """The entries of a configuration's defaults list that choose a member, as they are written."""
    try:
        loaded: Any = yaml.safe_load(Path(_file_of(repository, config)).read_text())
        defaults: list[Any] = list(loaded["defaults"])
    except (OSError, yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError):
        return
    for key, name in _choices(defaults):
        words = key.split()
        group = words[-1].partition("@")[0] if words else ""
        path = f"{group}/{name}" if group else name
        if not path.startswith("/"):
            path = f"{config.rpartition('/')[0]}/{path}"
        if path.lstrip("/") == missing:
            yield f"{key}: {name}" if key else name


def _choices(defaults: list[Any]) -> Iterator[tuple[str, str]]:
    """What a defaults list chooses: group, as it is written, and member; "" for a mere file."""
    for entry in defaults:
        chosen = cast("dict[Any, Any]", entry) if isinstance(entry, dict) else {"": entry}
        for key, names in chosen.items():
            several = cast("list[Any]", names) if isinstance(names, list) else [names]
            yield from ((str(key), str(name)) for name in several)
