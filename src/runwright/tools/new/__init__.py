"""`python -m runwright new`: a project of one's own, which trains, tests and sweeps at once."""

import argparse
import importlib.util
import keyword
import re
import shlex
from pathlib import Path
from typing import Final

from runwright.errors import UserError

_TEMPLATE: Final = Path(__file__).with_name("template")
_PLACEHOLDER: Final = "project_name"  # of the package, in names of files and in their text

_DESCRIPTION: Final = """\
Make the folder of a new project: data, a model and an objective of its own, YAML files, tests.
"""


def main(argv: list[str]) -> int:
    """Run the command; `argv` is what follows `new`. Returns the exit status.

    Raises:
        UserError: the folder is not empty or cannot be written, or is called what no package can
            be called.
    """
    folder: Path = _parser().parse_args(argv).folder
    name = _package_name(folder)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} exists and is not empty. Choose a new folder.")
        for file in sorted(file for file in _TEMPLATE.rglob("*") if file.is_file()):
            if "__pycache__" in file.parts:
                continue
            place = folder / str(file.relative_to(_TEMPLATE)).replace(_PLACEHOLDER, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(file.read_text().replace(_PLACEHOLDER, name))
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror}.") from error
    where = shlex.quote(str(folder))
    print(f"Made {folder}; its README.md says what is where. Next:\n  cd {where}\n  python main.py")
    return 0


def _package_name(folder: Path) -> str:
    """The name of the package in a project, from that of its folder.

    Raises:
        UserError: no package can be called that.
    """
    given = folder.resolve().name
    name = re.sub(r"[-. ]", "_", given.lower())
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UserError(
            f"{given!r} cannot be the name of a Python package. Use letters, digits and '_', and a "
            "letter first, as in 'my_project'."
        )
    if importlib.util.find_spec(name) is not None or name in ("conf", "data", "outputs", "tests"):
        raise UserError(
            f"{name!r} is the name of a package that exists, which imports would find first. "
            f"Choose another, such as '{name}_project'."
        )
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runwright new", description=_DESCRIPTION)
    parser.add_argument("folder", type=Path, metavar="PROJECT", help="the folder to make")
    return parser
