"""`python -m runwright schema`: JSON Schema of the YAML files, for completion in editors."""

import argparse
import json
from pathlib import Path
from typing import Any, Final, cast

from runwright.tools.project import Project, add_arguments, open_project
from runwright.tools.schema.kinds import schemas

_DESCRIPTION = """\
Write a JSON Schema for every kind of YAML file to .vscode/schemas: one for each group, those of
launchers and sweepers included, one for the primary configuration, one for experiments. VS Code's
settings.json is updated to say which schema is for which files. Editors then complete, explain and
check the YAML files. Run it again after adding, removing or renaming factories, options or files.
"""

_FOLDER: Final = ".vscode/schemas"
_SETTING: Final = "yaml.schemas"
_MADE_BY: Final = "Made by `python -m runwright schema`; changes by hand are lost."
_HEAD: Final = {"$schema": "http://json-schema.org/draft-07/schema#", "$comment": _MADE_BY}


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: what follows `schema` on the command line.

    Returns:
        The exit status.

    Raises:
        UserError: there is no such folder, module or class.
    """
    parser = argparse.ArgumentParser(prog="python -m runwright schema", description=_DESCRIPTION)
    add_arguments(parser)
    project = open_project(parser.parse_args(argv))
    folder = project.root / _FOLDER
    wanted, setting = _files(project)
    for path in _stale(folder, wanted):
        path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    print(f"Wrote {len(wanted) - 1} schemas to {folder}.\n{project.factories}")
    settings = folder.with_name("settings.json")
    known = _read(settings) if settings.is_file() else {}
    if known is None:  # it has comments, which would be lost
        print(f"Add to {settings}:\n{json.dumps({_SETTING: setting}, indent=2)}")
        return 0
    others: dict[str, Any] = known.get(_SETTING, {})
    kept = {key: files for key, files in others.items() if not key.startswith(f"{_FOLDER}/")}
    content = json.dumps({**known, _SETTING: {**setting, **kept}}, indent=2, ensure_ascii=False)
    settings.write_text(f"{content}\n", encoding="utf-8", newline="\n")
    return 0


def is_out_of_date(project: Project) -> bool:
    """Whether the schemas that were once written are no longer those that would be written."""
    folder = project.root / _FOLDER
    return folder.is_dir() and bool(_stale(folder, _files(project)[0]))


def _files(project: Project) -> tuple[dict[Path, str], dict[str, list[str]]]:
    """What the command writes, path → text, and VS Code's setting: schema → patterns of files."""
    folder = project.root / _FOLDER
    kinds = schemas(project)
    texts = {
        folder / f"{kind}.json": json.dumps({**_HEAD, **schema}, ensure_ascii=False)
        for kind, (schema, _) in kinds.items()
    }
    texts[folder / ".gitignore"] = "*\n"  # what is made anew at any time needs no history
    return texts, {f"{_FOLDER}/{kind}.json": patterns for kind, (_, patterns) in kinds.items()}


def _stale(folder: Path, wanted: dict[Path, str]) -> list[Path]:
    """The files that are missing, that differ from what would be written, or have to go."""
    there = {path: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    obsolete = [path for path, text in there.items() if path not in wanted and _MADE_BY in text]
    differ = [path for path, text in wanted.items() if path.suffix and there.get(path) != text]
    return [*differ, *obsolete]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError:
        return None
