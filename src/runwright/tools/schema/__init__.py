"""`python -m runwright schema`: JSON Schema of the YAML files, for completion in editors."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from runwright.tools.project import Project, add_arguments, open_project
from runwright.tools.schema.kinds import schemas

_DESCRIPTION = """\
Write a JSON Schema for every kind of YAML file to .vscode/schemas/runwright: for each group,
launchers and sweepers included, for primary configurations and for experiments. VS Code's
settings.json is updated to say which schema is for which files. Editors then complete, explain and
check the YAML files. Run it again after adding, removing or renaming factories, options or files.
"""

_FOLDER: Final = ".vscode/schemas/runwright"  # in which nothing else is
_SETTING: Final = "yaml.schemas"


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
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")  # what can be made again needs no history
    kinds = schemas(project)
    for kind, (schema, _) in kinds.items():
        (folder / f"{kind}.json").write_text(json.dumps(schema), encoding="utf-8")
    print(f"Wrote {len(kinds)} schemas to {folder}.\n{project.factories}")
    setting = {f"{_FOLDER}/{kind}.json": patterns for kind, (_, patterns) in kinds.items()}
    _tell_editor(project.root / ".vscode" / "settings.json", setting)
    return 0


def is_out_of_date(project: Project) -> bool:
    """Whether the schemas that were written earlier are out of date."""
    folder = project.root / _FOLDER
    return folder.is_dir() and any(
        not (file := folder / f"{kind}.json").is_file() or json.loads(file.read_bytes()) != schema
        for kind, (schema, _) in schemas(project).items()
    )


def _tell_editor(settings: Path, setting: dict[str, list[str]]) -> None:
    """Say in VS Code's settings which schema is for which files, and no more of those gone."""
    try:
        known: dict[str, Any] = json.loads(settings.read_bytes()) if settings.is_file() else {}
    except json.JSONDecodeError:  # it has comments, which would be lost
        print(f"Add to {settings}:\n{json.dumps({_SETTING: setting}, indent=2)}")
        return
    before: dict[str, Any] = known.get(_SETTING, {})
    others = {key: files for key, files in before.items() if not key.startswith(_FOLDER)}
    content = json.dumps({**known, _SETTING: {**setting, **others}}, indent=2, ensure_ascii=False)
    settings.write_text(f"{content}\n", encoding="utf-8", newline="\n")
