"""What can be chosen: every member of every group, with what it is."""

import re
from pathlib import Path
from typing import Final

from runwright.compose._hydra import Hydra, Repository
from runwright.compose.file_shapes import file_of
from runwright.compose.loader import StrictConfigLoader
from runwright.factory import CONFIG_GROUPS, summary

_OWN_LINE: Final = re.compile(r"#\s*@package\b|---")
_SENTENCE: Final = re.compile(r"(?<=[.?!])\s")


def members(hydra: Hydra) -> dict[str, dict[str, str]]:
    """The members of each group, with a sentence on each, which is empty if there is none."""
    loader = hydra.config_loader
    assert isinstance(loader, StrictConfigLoader)
    repository = loader.composer.usual_repository
    groups = [name for name in hydra.list_all_config_groups() if not name.startswith("hydra")]
    return {
        group: {
            name: _described(group, name, repository)
            for name in sorted(loader.get_group_options(group))
        }
        for group in sorted(groups)
    }


def _described(group: str, name: str, repository: Repository) -> str:
    """The comment at the head of its file; of a factory, what its docstring says."""
    file = file_of(f"{group}/{name}", repository)
    if file is not None:
        return _head_of(file)
    factory = CONFIG_GROUPS.get(group, {}).get(name)
    return "" if factory is None else summary(factory)


def _head_of(file: Path) -> str:
    """The first sentence of the comment at the head of a YAML file."""
    lines: list[str] = []
    for line in file.read_text(errors="replace").splitlines():
        if _OWN_LINE.match(line) or (not lines and not line.strip()):
            continue
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
        if line.endswith(":"):
            break
    return _SENTENCE.split(" ".join(lines))[0]
