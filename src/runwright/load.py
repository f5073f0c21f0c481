"""A run that was made, loaded to look at and to work with."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
from typing_extensions import override

from runwright.config import chosen_name
from runwright.errors import UserError
from runwright.plain import given_path
from runwright.storage.metrics_table import MetricsTable

if TYPE_CHECKING:
    from torch import nn

    from runwright.config import Config
    from runwright.data import Data
    from runwright.objective import Objective


_GROUPS: Final = ("dm", "model", "objective")


@attrs.frozen(kw_only=True, repr=False)
class LoadedRun:
    """The contents of a run directory.

    Attributes:
        path: the directory.
        config: what was run.
        data: its data.
        model: its model with the best weights, in evaluation mode, on the device of `config.gpu`.
        objective: its objective.
        metrics: what it measured, `metrics.csv` as a table.
        result: how the training ended, in words; None if it has not.
    """

    path: Path
    config: "Config"
    data: "Data[Any, Any]"
    model: "nn.Module"
    objective: "Objective[Any]"
    metrics: MetricsTable
    result: str | None

    @override
    def __repr__(self) -> str:
        config, metrics = self.config, self.metrics
        chosen = [f"{group}={chosen_name(getattr(config, group))}" for group in _GROUPS]
        measured = f"{metrics.num_rows} rows of metrics: {', '.join(metrics)}"
        lines = [f"The run in {self.path}", " ".join(chosen), self.result, measured]
        return "\n  ".join(line for line in lines if line)


def load(run_dir: Path | str, overrides: Sequence[str] = ()) -> LoadedRun:
    """Rebuild what was run, and load the best weights.

    What the training kept of its data, such as a vocabulary, is read as in any later stage, so
    `overrides` may name new data. The directory of a stage gives what was measured there: the
    weights that it names.

    Args:
        run_dir: the directory of the run.
        overrides: options to change, e.g. `["gpu=-1"]`.

    Raises:
        UserError: it is not a run directory, or it has no weights that fit the model.
        ConfigError: the overrides do not fit, or a module that registers what was chosen has not
            been imported.
    """
    from runwright.compose import compose
    from runwright.device.distributed import World
    from runwright.device.runtime import Runtime, choose_device, global_state_kept, seed_everything
    from runwright.run import build
    from runwright.rundir.checkpoint import find_weights
    from runwright.rundir.result import read_result
    from runwright.trained import load_weights, training_dir

    path = given_path(run_dir, "load")
    if not (path / "config.yaml").is_file():
        raise UserError(f"{path} is not a run directory: it has no config.yaml.")
    config = compose(overrides, conf=path)
    weights = find_weights(path if config.stage.trains else config.checkpoint.load or path)
    runtime = Runtime(
        device=choose_device(config.gpu),
        seed=config.seed,
        run_dir=path,
        training_dir=training_dir(weights),
        trains=False,
    )
    with global_state_kept():
        seed_everything(config.seed, deterministic=False)
        built = build(config, runtime, World())
    load_weights(built.model, weights)
    metrics = path / "metrics.csv"
    ended = read_result(path)
    return LoadedRun(
        path=path,
        config=config,
        data=built.data,
        model=built.model.eval(),
        objective=built.objective,
        metrics=MetricsTable.read(metrics) if metrics.exists() else MetricsTable({}),
        result=None if ended is None else str(ended),
    )


def merge_adapters(model: "nn.Module") -> "nn.Module":
    """Add every low-rank adapter of a model to the weights of its layer, in place.

    The model computes the same, and its state dictionary has the names that it had without.
    """
    from runwright.training.finetune import lora

    return lora.merge_adapters(model)
