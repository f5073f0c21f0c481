"""Private names of a library, which any new version may change, are confined to one file."""

from pathlib import Path
from typing import Final

import pytest

from conftest import REPOSITORY
from house import private_names, read_modules

# File → the library whose private names it may use; a test of it says what to do when one is gone.
GUARDED: Final = {
    "compose/_hydra.py": "hydra",
    "compose/_omegaconf.py": "omegaconf",
    "sweep/_optuna.py": "optuna",
    "sweep/_optuna_sweeper.py": "hydra_plugins",
    "training/capture/_torch.py": "torch",
}


@pytest.fixture(scope="module")
def used() -> dict[str, set[str]]:
    """File → the private names of libraries in it."""
    modules = read_modules(REPOSITORY / "src" / "runwright").values()
    found = {module.path.as_posix(): private_names(module) for module in modules}
    return {path: names for path, names in found.items() if names}


def test_private_names_of_libraries_stand_in_the_files_for_them_only(
    used: dict[str, set[str]],
) -> None:
    others = {path: names for path, names in used.items() if path not in GUARDED}
    assert not others, f"take a public name, or put it into one of {[*GUARDED]}"


def test_a_library_has_one_file_at_most_which_uses_the_names_of_no_other(
    used: dict[str, set[str]],
) -> None:
    assert len({*GUARDED.values()}) == len(GUARDED)
    for path, library in GUARDED.items():
        assert path in used, f"{path} is needed no more"
        imported = {name for name in used[path] if not name.startswith("…")}
        assert {name.split(".")[0] for name in imported} <= {library}


USING = """
import os
import hydra._internal.utils
from hydra._internal.utils import get_args_parser
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf, _utils

class Mine(Plugins):
    _own: int
    def _initialize(self): ...
    def _mine(self): self._set = 1

def use(config, mine):
    os._exit(mine._own + mine._set + mine._mine())
    return config._get_node("_target_"), config._target_, config.__dict__
"""


def test_private_names_are_seen_where_they_are_imported_used_or_replaced(tmp_path: Path) -> None:
    (tmp_path / "using.py").write_text(USING)
    assert private_names(read_modules(tmp_path)["using"]) == {
        "hydra._internal.utils",
        "hydra._internal.utils.get_args_parser",
        "omegaconf._utils",
        "Plugins._initialize",
        "…._get_node",
    }
