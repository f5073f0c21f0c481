"""Imports point one way: from the programs down to what a factory is. Late ones count too."""

import ast
from pathlib import Path
from typing import Final

import pytest

from conftest import REPOSITORY
from house import Module, circles, imports_of, read_modules

Imports = dict[str, set[str]]  # by the name of the module

# The floors of the house: its folders, and these of the modules that lie in none.
FLOORS: Final = {
    "ground": "argument_types errors extras hints name_patterns figures",
    "base": "plain dims model objective measures caller config custom_search_space predictions "
    "stage finetune_options added_commands machine",
    "run": "run train trained load",
    "front": "__init__",
    "app": "app",
    "tools": "__main__",
}
# Floor → those that it may not import.
FORBIDDEN: Final = {
    "ground": "factory base device data stages compose rundir training comparison run "
    "migration checks cli sweep slurm tools domains front app",
    "storage": "factory base device data stages compose rundir training comparison run "
    "migration checks cli sweep slurm tools domains front app",
    "device": "factory base data stages compose rundir training comparison run migration "
    "checks cli sweep slurm tools domains front app",
    "factory": "base device data stages compose rundir training comparison run migration checks "
    "cli sweep slurm tools domains front app",
    "base": "compose rundir training comparison run migration checks cli sweep slurm tools "
    "domains front app",
    "optimizers": "stages compose rundir training comparison run migration checks cli sweep slurm "
    "tools domains front app",
    "data": "stages compose rundir training comparison run migration checks cli sweep slurm "
    "tools domains front app",
    "stages": "compose rundir training comparison run migration checks cli sweep slurm tools "
    "domains front app",
    "compose": "rundir training comparison run migration checks cli sweep slurm tools front app",
    "rundir": "training comparison run migration checks cli sweep slurm tools domains front app",
    "training": "compose comparison run migration checks cli sweep slurm tools domains front app",
    "comparison": "compose run migration checks cli sweep slurm tools domains front app",
    "run": "comparison cli sweep slurm tools domains front app",
    "checks": "run migration comparison cli sweep slurm tools domains front app",
    "migration": "checks comparison cli sweep slurm tools domains front app",
    "cli": "sweep slurm tools front app",
    "sweep": "comparison slurm tools domains front app",
    "slurm": "comparison sweep tools domains front app",
    "tools": "front app",
    "front": "rundir training comparison cli sweep slurm tools domains app",
    "app": "rundir training comparison sweep slurm tools domains front",
    # As a user's own domain does, it takes all from the front.
    "domains": "ground factory base device data optimizers compose rundir training comparison "
    "run migration checks cli sweep slurm tools app",
}
# Who imports modules by names that no reader of the text can follow, and which.
BY_NAME: Final = {
    "__init__": "the homes of its names, when they are used",
    "__main__": "a command",
    "app": "the factories of a user's project",
    "domains": "what can be chosen of every domain, and its commands",
    "predictions": "a package of an extra",
    "sweep.study_pictures": "what draws, of other packages",
    "sweep.sweeper_cfg": "the options of Hydra's own sweeper, where it is installed",
    "tools.project": "the factories and the configuration of a user's project",
    "tools.of_domains": "the modules of a user's project",
}

# Where the whole configuration is read; whatever is built gets plain values.
READING: Final = {
    *("compose", "rundir", "training", "run", "cli", "sweep", "slurm", "tools", "app", "front"),
    *("checks", "migration"),
}


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return read_modules(REPOSITORY / "src" / "runwright")


@pytest.fixture(scope="module")
def imports(modules: dict[str, Module]) -> Imports:
    return {name: imports_of(module, modules) for name, module in modules.items()}


def floors_of(module: Module) -> list[str]:
    if module.path == Path("domains", "__init__.py"):
        return ["base"]  # the core's: it finds the domains
    if len(module.path.parts) > 1:
        return [module.path.parts[0]]
    return [floor for floor, names in FLOORS.items() if module.path.stem in names.split()]


def test_every_module_lies_on_one_floor(modules: dict[str, Module]) -> None:
    for module in modules.values():
        floors = floors_of(module)
        assert len(floors) == 1, f"{module.path}: say in FLOORS to which one it belongs"
        assert floors[0] in FORBIDDEN, f"{module.path}: say in FORBIDDEN what it may not import"


def wrong_arrows(modules: dict[str, Module], imports: Imports, *, of_domains: bool) -> set[str]:
    return {
        f"{name} → {target}"
        for name, targets in imports.items()
        for target in targets
        for floor in floors_of(modules[name])
        if (floor == "domains") is of_domains
        if floors_of(modules[target])[0] in FORBIDDEN[floor].split()
    }


def test_no_floor_imports_one_above_it(modules: dict[str, Module], imports: Imports) -> None:
    assert not wrong_arrows(modules, imports, of_domains=False)


def test_a_domain_imports_the_front_only(modules: dict[str, Module], imports: Imports) -> None:
    assert not wrong_arrows(modules, imports, of_domains=True)


def test_no_modules_import_each_other_in_a_circle(imports: Imports) -> None:
    assert not circles(imports)


def test_what_is_built_knows_no_configuration(modules: dict[str, Module]) -> None:
    for module in modules.values():
        takes = {
            name for whence, name in module.imported if whence in ("runwright", "runwright.config")
        }
        if "Config" in takes:
            assert floors_of(module)[0] in READING, f"{module.path} imports Config"


def test_no_domain_imports_another(imports: Imports) -> None:
    for name, targets in imports.items():
        if name.startswith("domains."):
            others = {one for one in targets if one.startswith("domains.")}
            assert {one.split(".")[1] for one in others} <= {name.split(".")[1]}, name


def test_modules_are_imported_by_a_made_name_in_these_places_only(
    modules: dict[str, Module],
) -> None:
    found = {
        name
        for name, module in modules.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
    }
    assert found == BY_NAME.keys()


IMPORTING = """
import runwright
from runwright import compose, one
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from runwright.typed import Type
def late():
    from runwright.folder import late, name
    from . import beside
    from .deep import deeper
"""


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    files = {"folder/importing.py": IMPORTING, "__init__.py": "from runwright.run import compose"}
    for name in ("one", "typed", "compose", "run", "folder/late", "folder/beside", "folder/deep"):
        files[f"{name}.py"] = ""
    files["folder/__init__.py"] = "name = 1"
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    modules = read_modules(tmp_path)
    found = {"__init__", "one", "typed", "folder", "folder.late", "folder.beside", "folder.deep"}
    assert imports_of(modules["folder.importing"], modules) == found
    assert imports_of(modules["__init__"], modules) == {"run"}


def test_circles_are_found_by_any_way_round() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"e"}, "f": {"a"}}
    assert circles(arrows) == [{"a", "b", "c"}, {"e"}]


def test_a_file_has_a_name_of_its_own_except_for_the_same_room_of_another_domain(
    modules: dict[str, Module],
) -> None:
    files = [one.path for one in modules.values() if not one.path.stem.startswith("__")]
    rooms = {path.stem for path in files if path.parts[0] == "domains"}
    others = [path.stem for path in files if path.parts[0] != "domains"]
    assert {name for name in others if others.count(name) > 1} == set()
    # The interfaces that a domain implements; the stages are written as those of a domain are.
    assert rooms & set(others) == {"dims", "objective", "choices"}
