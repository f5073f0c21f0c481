"""`python -m runwright schema`: JSON Schema of the YAML files, for completion in editors."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Final, cast

from runwright.tools.file_schema import COMMENT, schemas
from runwright.tools.project import Project, add_arguments, open_project

_DESCRIPTION = """\
Write a JSON Schema for every kind of YAML file: one for each group, those of launchers and sweepers
included, one for the primary configuration, one for experiments. Tell VS Code in its settings.json
which is for which. Editors then complete, explain and check the YAML files. Run it again when
factories, options or YAML files were added, removed or renamed, and commit what it writes.
"""

_FOLDER: Final = ".vscode"
_SETTING: Final = "yaml.schemas"


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: what follows `schema` on the command line.

    Returns:
        The exit status: 2 if `--check` found a file missing or out of date.

    Raises:
        UserError: there is no such folder, module or class.
    """
    args = _parser().parse_args(argv)
    project = open_project(args)
    out = default_folder(project) if args.out is None else Path(args.out).resolve()
    wanted = files(project, out)
    if args.check:
        stale = out_of_date(wanted, out)
        for path in stale:
            print(f"Out of date: {_shown(path)}", file=sys.stderr)
        if stale:
            print("Write them anew with `python -m runwright schema`.", file=sys.stderr)
        return 2 if stale else 0
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    for path in _obsolete(wanted, out):
        path.unlink()
    count = sum(path.parent == out for path in wanted)
    print(f"Wrote {count} schemas to {_shown(out)}.")
    settings = out.parent / "settings.json"
    if settings in wanted:
        print(f"{_shown(settings)} says which is for which YAML file.")
    else:
        print(
            f"Add to VS Code's settings.json:\n{_to_json({_SETTING: associations(project, out)})}"
        )
    return 0


def default_folder(project: Project) -> Path:
    """Where the schemas are kept unless another folder is named."""
    return project.root / _FOLDER / "schemas"


def files(project: Project, out: Path) -> dict[Path, str]:
    """What the command writes: path → text.

    VS Code's settings.json is among them when `out` lies in `.vscode`, unless it has comments,
    which would be lost.
    """
    texts = {
        out / f"{kind}.json": _to_json(content) for kind, (content, _) in schemas(project).items()
    }
    if out.parent.name == _FOLDER:
        path = out.parent / "settings.json"
        settings = _read_settings(path)
        if settings is not None:
            ours = associations(project, out)
            folder = _relative(out, project.root)
            others = {
                key: patterns
                for key, patterns in settings.get(_SETTING, {}).items()
                if not key.startswith(folder)
            }
            texts[path] = _to_json({**settings, _SETTING: {**ours, **others}})
    return texts


def associations(project: Project, out: Path) -> dict[str, list[str]]:
    """The value of VS Code's setting `yaml.schemas`: schema → patterns of YAML files."""
    folder = _relative(out, project.root)
    return {f"{folder}/{kind}.json": patterns for kind, (_, patterns) in schemas(project).items()}


def out_of_date(wanted: dict[Path, str], out: Path) -> list[Path]:
    """The files that are missing, that differ from what would be written, or have to go."""
    differ = [
        path
        for path, text in wanted.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    return [*differ, *_obsolete(wanted, out)]


def _obsolete(wanted: dict[Path, str], out: Path) -> list[Path]:
    """Schemas of groups that are no more."""
    return [
        path
        for path in sorted(out.glob("*.json"))
        if path not in wanted and COMMENT in path.read_text(encoding="utf-8")
    ]


def _read_settings(path: Path) -> dict[str, Any] | None:
    """VS Code's settings; None when they cannot be read without their comments."""
    if not path.is_file():
        return {}
    try:
        return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError:
        return None


def _to_json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _shown(path: Path) -> str:
    return _relative(path, Path.cwd())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runwright schema", description=_DESCRIPTION)
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="where to write the schemas (default: .vscode/schemas beside conf/)",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; the status is 2 if a file is stale"
    )
    add_arguments(parser)
    return parser
