"""What the source says about its own architecture, read without importing it.

    python tests/house.py [CHECKOUT]

prints how large a checkout is, how its folders import each other, and which private names of
libraries it touches. `test_imports.py` and `test_private_names.py` hold what it finds.
"""

import ast
import importlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

import attrs

PACKAGE: Final = "runwright"
FRONT: Final = "__init__"
TOP: Final = "(top)"  # what lies in no folder
LIBRARIES: Final = ("hydra", "hydra_plugins", "omegaconf", "optuna", "submitit", "torch")


@attrs.frozen(slots=False)
class Module:
    """A file of Python below a package."""

    path: Path
    """Relative to the package: `compose/groups.py`."""
    tree: ast.Module = attrs.field(repr=False, eq=False)

    @cached_property
    def name(self) -> str:
        """As it is imported: `compose.groups`."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or FRONT

    @property
    def folder(self) -> str:
        """The folder that it lies in, of the first level."""
        return self.path.parts[0] if len(self.path.parts) > 1 else TOP

    @cached_property
    def imported(self) -> list[tuple[str, str | None]]:
        """Whence and what it imports, wherever that stands: `("a.b", "c")` or `("a.b", None)`."""
        found: list[tuple[str, str | None]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, None) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found += [(self._absolute(node), alias.name) for alias in node.names]
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        here = (PACKAGE, *self.path.parent.parts)
        start = here[: len(here) - node.level + 1] if node.level else ()
        return ".".join((*start, *filter(None, [node.module])))

    @cached_property
    def names(self) -> set[str]:
        """What can be imported of it, as far as it stands there."""
        package = ".".join((PACKAGE, *self.path.parent.parts))
        found = {name or whence for whence, name in self.imported if whence != package}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
        return found


def read_modules(source: Path) -> dict[str, Module]:
    """Every module of a package, by its name; a template is a project of its own."""
    found = [
        Module(path.relative_to(source), ast.parse(path.read_text()))
        for path in sorted(source.rglob("*.py"))
        if "template" not in path.relative_to(source).parts
    ]
    return {module.name: module for module in found}


def imports_of(module: Module, modules: Mapping[str, Module]) -> set[str]:
    """The modules of the package that one of them imports, also later or for its types only."""
    found: set[str] = set()
    for whence, name in module.imported:
        if whence.split(".")[0] == PACKAGE:
            owner = whence.removeprefix(PACKAGE).removeprefix(".") or FRONT
            below = (name or "") if owner == FRONT else f"{owner}.{name}"
            is_module = below in modules and name not in modules[owner].names
            found.add(below if is_module else owner)
    return found


def circles(imports: Mapping[str, set[str]]) -> list[set[str]]:
    """The groups of modules of which each reaches each other by imports."""

    def reached(start: str) -> set[str]:
        found, waiting = set[str](), [start]
        while waiting:
            new = imports.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found

    reach = {name: reached(name) for name in imports}
    inside = [name for name in imports if name in reach[name]]
    groups = {frozenset(other for other in reach[name] if name in reach[other]) for name in inside}
    return sorted(map(set, groups), key=sorted)


def private_names(module: Module) -> set[str]:
    """The private names of libraries that a module imports, uses or takes the place of."""
    return {*_imported_private(module), *_used_private(module), *_overridden_private(module)}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("_")  # Hydra's `_target_` is public


def _imported_private(module: Module) -> Iterator[str]:
    for whence, name in module.imported:
        full = f"{whence}.{name}" if name else whence
        if full.split(".")[0] in LIBRARIES and any(map(_is_private, full.split("."))):
            yield full


def _used_private(module: Module) -> Iterator[str]:
    """`._name` of an object that is not of a class in this file, as far as one can see."""
    own = set[str]()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own |= {node.attr} if ast.unparse(node.value) in ("self", "cls") else set()
    others = {whence for whence, name in module.imported if name is None} - {*LIBRARIES}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            is_other = node.attr in own or ast.unparse(node.value) in others  # such as `os._exit`
            yield from [] if is_other else [f"….{node.attr}"]


def _overridden_private(module: Module) -> Iterator[str]:
    """Private methods of a library's class that a class here defines anew."""
    homes = {name: whence for whence, name in module.imported if name is not None}
    for cls in ast.walk(module.tree):
        for base in cls.bases if isinstance(cls, ast.ClassDef) else ():
            whole, _, name = ast.unparse(base).partition("[")[0].rpartition(".")
            home = f"{homes[whole]}.{whole}" if whole in homes else whole or homes.get(name, "")
            if home.split(".")[0] in LIBRARIES:
                theirs = getattr(importlib.import_module(home), name)
                private = {node.name for node in ast.walk(cls) if isinstance(node, ast.FunctionDef)}
                yield from (
                    f"{name}.{one}" for one in private if _is_private(one) and hasattr(theirs, one)
                )


def _lines(folder: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.rglob("*.py"))


def main(checkout: Path) -> None:
    """Print the figures of a checkout."""
    modules = read_modules(checkout / "src" / PACKAGE)
    imports = {name: imports_of(module, modules) for name, module in modules.items()}
    between = Counter(
        (modules[name].folder, modules[target].folder)
        for name, targets in imports.items()
        for target in targets
        if modules[name].folder != modules[target].folder
    )
    private = {module.path: private_names(module) for module in modules.values()}
    figures = {
        "modules at the top level": sum(module.folder == TOP for module in modules.values()),
        "modules": len(modules),
        "imports between modules": sum(map(len, imports.values())),
        "modules in circles": sum(map(len, circles(imports))),
        "arrows between folders": len(between),
        "private names of libraries": len({name for names in private.values() for name in names}),
        "files that touch them": sum(map(bool, private.values())),
        "lines of source": _lines(checkout / "src"),
        "lines of tests": _lines(checkout / "tests"),
    }
    for what, count in figures.items():
        print(f"{what:28}{count:6}")
    print("\nArrows between folders, and the imports along each:")
    for (start, end), count in sorted(between.items()):
        print(f"  {start:12}→ {end:12}{count:4}")
    print("\nCircles:")
    for circle in circles(imports):
        print(f"  {', '.join(sorted(circle))}")
    print("\nPrivate names of libraries:")
    for path, names in private.items():
        if names:
            print(f"  {path}: {', '.join(sorted(names))}")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2]))
