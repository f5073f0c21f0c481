"""A run that was made, loaded to look at and to work with."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from runwright.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from runwright.config import Config
    from runwright.data import Data
    from runwright.objective import Objective


@attrs.frozen(kw_only=True, repr=False)
class LoadedRun:
    """The contents of a run directory.

    Attributes:
        path: the directory.
        config: what was run.
        data: its data.
        model: its model with the best weights, in evaluation mode, on the device of `config.gpu`.
        objective: its objective.
        metrics: the rows of `metrics.csv`: the step, and what was measured there.
    """

    path: Path
    config: "Config"
    data: "Data[Any, Any]"
    model: "nn.Module"
    objective: "Objective[Any]"
    metrics: list[dict[str, float]]


def load(run_dir: Path | str, overrides: Sequence[str] = ()) -> LoadedRun:
    """Rebuild what was run, and load the best weights.

    Args:
        run_dir: the directory of the run.
        overrides: options to change, e.g. `["gpu=-1"]`.

    Raises:
        UserError: it is not a run directory, or it has no weights that fit the model.
        ConfigError: the overrides do not fit.
    """
    from runwright.compose import compose
    from runwright.distributed import World
    from runwright.run import build
    from runwright.runtime import Runtime, choose_device
    from runwright.trained import load_weights
    from runwright.training.run_log import MetricsCsv

    path = Path(run_dir)
    if not (path / "config.yaml").is_file():
        raise UserError(f"{path} is not a run directory: it has no config.yaml.")
    config = compose(list(overrides), conf=path)
    runtime = Runtime(device=choose_device(config.gpu), seed=config.seed, run_dir=path)
    built = build(config, runtime, World())
    load_weights(built.model, path)
    return LoadedRun(
        path=path,
        config=config,
        data=built.data,
        model=built.model.eval(),
        objective=built.objective,
        metrics=[
            {name: float(value) for name, value in row.items() if value}
            for row in MetricsCsv(path / "metrics.csv").rows()
        ],
    )


def merge_adapters(model: "nn.Module") -> "nn.Module":
    """Add every low-rank adapter of a model to the weights of its layer, in place.

    The model computes the same, and its state dictionary has the names that it had without.
    """
    from runwright.training.finetune import lora

    return lora.merge_adapters(model)
