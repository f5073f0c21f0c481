"""A stage other than training uses the data and the model of a run, unless others are chosen.

python main.py stage=test checkpoint.load=outputs/mine
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from runwright.errors import UserError
from runwright.plain import home_path


def recorded_config(overrides: Sequence[str]) -> Path | None:
    """The `config.yaml` of the run whose weights a stage is to load.

    Args:
        overrides: the command line.

    Returns:
        The file; None for training, if other data or another model is chosen, or if
        `checkpoint.load` does not belong to a recorded run.
    """
    given = {key: value for key, _, value in (one.partition("=") for one in overrides)}
    stage, location = given.get("stage", "fit"), given.get("checkpoint.load", "")
    has_experiment = any(key.lstrip("+").partition("/")[0] == "experiment" for key in given)
    if stage == "fit" or not location or has_experiment:
        return None
    folder = _run_dir(location.strip("'\""))
    if folder is None:
        return None
    recorded = _choices(folder / "config.yaml")
    if recorded is None or any(given.get(group, one) != one for group, one in recorded.items()):
        return None
    return (folder / "config.yaml").resolve()


def _run_dir(location: str) -> Path | None:
    """The run directory that is meant, or that has the weights; None if there is none.

    Also for what is no path at all, which is reported when the weights are looked for.
    """
    try:
        path = home_path(Path(location))
        folder = path if path.is_dir() else path.resolve().parent.parent
        names = ("config.yaml", "environment.json")
        return folder if all((folder / name).is_file() for name in names) else None
    # A name that is too long, a circular link, nobody's home
    except (OSError, RuntimeError, ValueError, UserError):
        return None


def _choices(record: Path) -> dict[str, Any] | None:
    """The choices of data and model in a record; None if it is damaged."""
    try:
        loaded: Any = yaml.safe_load(record.read_text())
        defaults: list[Any] = [entry for entry in loaded["defaults"] if isinstance(entry, dict)]
    except (OSError, yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError):
        return None  # reported when the weights are looked for
    chosen = {key: one for entry in defaults for key, one in entry.items()}
    return {group: chosen[group] for group in ("dm", "model") if group in chosen}
