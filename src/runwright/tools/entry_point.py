"""Asking a project's program, `main.py`, what it passes to `app.main`.

The script is run from its top to its call of `app.main`, which runs nothing and ends the script.
Every `python main.py --help`, and every tab completion of its command line, does the same.
A script without such a call is left alone: running it might train something.
"""

import ast
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from runwright.cli.answer import ProgramAnswer, asking
from runwright.errors import UserError

NAME: Final = "main.py"
_APP: Final = "runwright.app"


def nearest(start: Path) -> Path | None:
    """The `main.py` in a folder or above it, but not above the nearest folder with a `conf/`."""
    for folder in (start, *start.parents):
        if (folder / NAME).is_file():
            return folder / NAME
        if (folder / "conf").is_dir():
            break
    return None


def calls_app_main(script: Path) -> bool:
    """Whether a script contains, anywhere in its text, a call of runwright's `app.main`.

    Raises:
        UserError: it is not valid Python.
    """
    try:
        tree = ast.parse(script.read_bytes(), script)
    except SyntaxError as error:
        raise UserError(f"{script}, line {error.lineno}: {error.msg}.") from error
    nodes = list(ast.walk(tree))
    names = {"runwright": "runwright"}  # the script's name for it → what it is
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {one.asname: one.name for one in node.names if one.asname is not None}
        elif isinstance(node, ast.ImportFrom):
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    calls = (ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call))
    parts = (call.partition(".") for call in calls)
    return any(f"{names.get(first)}{dot}{rest}" == f"{_APP}.main" for first, dot, rest in parts)


def ask(script: Path) -> ProgramAnswer:
    """Run a script up to its call of `app.main`; what it has registered by then remains.

    Raises:
        UserError: it ended without that call.
    """
    module = ModuleType("__main__")
    module.__file__ = str(script)
    # Kept: if classes of the script name types as text, they are looked up here.
    sys.modules["__main__"] = module
    sys.path.insert(0, str(script.parent))
    arguments, sys.argv = sys.argv, [str(script)]
    try:
        with asking():
            exec(compile(script.read_bytes(), script, "exec"), vars(module))
    except ProgramAnswer as answer:
        return answer
    except SystemExit as error:
        raise UserError(f"{script} ended before its call of app.main: {error}") from error
    except Exception as error:
        error.add_note(f"(This ended {script}, which was asked for its factories.)")
        raise
    finally:
        sys.argv = arguments
    raise UserError(f"{script} ended without a call of runwright's app.main.")
