"""Every domain has the same layout, so that anyone who knows one can find their way around all.

`tests/test_imports.py` checks that it imports only the front of the package and itself.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright import domains

FOLDER = Path(domains.__file__).parent
DOMAINS = sorted(path.name for path in FOLDER.iterdir() if (path / "__init__.py").exists())
ROOMS = ("choices.py", "dims.py", "batch.py", "objective.py")

# What the packages of the extras are imported as, where it is not their name.
IMPORTED_AS = {"pillow": "PIL"}


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def is_factory(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any(
        isinstance(call, ast.Call) and ast.unparse(call.func) == "factory"
        for call in node.decorator_list
    )


def extras(repository: Path) -> list[str]:
    """The modules of all optional packages."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]
    packages = {re.split(r"[\[>]", text)[0] for texts in optional.values() for text in texts}
    return sorted(IMPORTED_AS.get(package, package) for package in packages - {"runwright"})


@pytest.mark.parametrize("domain", DOMAINS)
def test_it_has_the_rooms(domain: str) -> None:
    assert [room for room in ROOMS if not (FOLDER / domain / room).exists()] == []
    assert (Path(__file__).parent / domain).is_dir()  # its tests


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_can_be_chosen_loads_neither_torch_nor_an_extra(domain: str, repository: Path) -> None:
    heavy = ["torch", "matplotlib", *extras(repository)]
    assert {"torchvision", "mlxtend", "PIL"} <= set(heavy)
    script = (
        f"import sys, runwright.domains.{domain}.choices\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_factory_is_among_the_choices(domain: str) -> None:
    chosen = set(imports(FOLDER / domain / "choices.py"))
    with_factories = {
        f"runwright.domains.{domain}.{path.stem}"
        for path in (FOLDER / domain).glob("*.py")
        if any(map(is_factory, ast.walk(ast.parse(path.read_text()))))
    }
    assert chosen == with_factories
