"""What a run does besides training: measure, predict, load weights, draw the results."""

import csv
import io
import json
import logging
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runwright.config import Config
from runwright.data import Data, Split
from runwright.errors import UserError, did_you_mean
from runwright.objective import Objective
from runwright.rundir.changes import changes, is_record
from runwright.rundir.checkpoint import find_weights, read_weights
from runwright.rundir.files import replacing, write_bytes
from runwright.rundir.learning_curves import draw_learning_curves
from runwright.training.built import Built
from runwright.training.evaluation import autocast, evaluate
from runwright.training.loop import Training
from runwright.training.monitor import measure_to_report
from runwright.training.sharding import is_sharded
from runwright.training.splits import limited
from runwright.training.weights import load_into

log = logging.getLogger(__name__)


def measure_or_predict(built: Built[Any]) -> float:
    """Apply trained weights: `stage=validate`, `test` or `predict`.

    Returns:
        The monitored measure, or NaN after `predict`.

    Raises:
        UserError: there are no weights, no such split or no such measure.
    """
    config, runtime, model, objective = built.config, built.runtime, built.model, built.objective
    monitored_on, monitored = measure_to_report(config.training, objective, built.data.also)
    splits = _splits(config, built.data)
    name, split = next(iter(splits.items()))
    weights = find_weights(config.checkpoint.load or runtime.run_dir)
    _refuse_other_data_or_model(config, weights)
    load_weights(model, weights)
    if config.stage == "predict":
        with autocast(runtime.device, config.training.precision):
            _predict(model, objective, split, runtime.run_dir / f"predictions_{name}.csv")
        return math.nan
    with autocast(runtime.device, config.training.precision):
        evaluations = {name: evaluate(model, objective, split) for name, split in splits.items()}
    values = evaluations[name].compute()
    if monitored not in values:
        raise UserError(
            f"training.monitor: nothing called '{monitored}' is measured. "
            + did_you_mean(monitored, values)
        )
    measures = {
        f"{split}_{measure}": value
        for split, evaluation in evaluations.items()
        for measure, value in evaluation.compute().items()
    }
    text = json.dumps({"weights": str(weights), **measures}, indent=2) + "\n"
    write_bytes(runtime.run_dir / f"{config.stage}.json", text.encode())
    if config.pictures:
        for split, evaluation in evaluations.items():
            evaluation.draw(runtime.run_dir / "pictures", split)
    for measure, value in measures.items():
        log.info("%s %.4f", measure, value)
    return measures[f"{monitored_on if monitored_on in evaluations else name}_{monitored}"]


def _refuse_other_data_or_model(config: Config, weights: Path) -> None:
    """Make sure that weights are measured on the data and with the model of their own run.

    Another split would measure them on what they were trained on, and say nothing of it.

    Raises:
        UserError: the run on record beside them had other data or another model.
    """
    # Where a link leads to is where they were trained, unless that is a mere store of files.
    places = (weights.resolve(), weights.absolute())
    records = (place.parent.parent / "config.yaml" for place in places)
    recorded = next((path for path in records if is_record(path)), None)
    if recorded is None:
        return
    changed = changes(recorded, config, within=("dm", "model"))
    if not changed:
        return
    listed = "\n".join(changed)
    if not config.checkpoint.allow_changes:
        raise UserError(
            f"The weights in {weights} were trained with other data or another model:\n{listed}\n"
            f"Take that run's configuration, --config-dir {recorded.parent} --config-name config, "
            "or measure them all the same with checkpoint.allow_changes=true."
        )
    log.warning("Measuring weights that were trained differently:\n%s", listed)


def load_weights(model: nn.Module, location: Path) -> None:
    """Load a model's weights from a file or from a run directory (its best ones).

    Raises:
        UserError: there are none, or they are not of this model; names what differs.
    """
    path = find_weights(location)
    load_into(model, read_weights(path), path)
    log.info("Loaded the weights in %s.", path)


def draw_results(training: Training[Any]) -> None:
    """Draw the learning curves, and the pictures of the best weights' validation."""
    built = training.built
    run_dir = built.runtime.run_dir
    curves = run_dir / "pictures" / "learning_curves.png"
    draw_learning_curves(run_dir / "metrics.csv", curves, training.validation)
    if not training.validation:
        return
    best = training.checkpoints.best
    if not best.exists():
        log.warning("The validation is not drawn: there are no best weights, %s.", best)
        return
    try:
        weights = read_weights(best)
    except UserError as damage:
        log.warning("The validation is not drawn: %s", damage)
        return
    model = training.step.evaluated_model
    if is_sharded(model):  # no process has all of it
        log.info("To draw the pictures of a sharded model's validation, take stage=validate.")
        return
    last = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    with autocast(built.runtime.device, training.cfg.precision):
        for name, split in training.validation.items():
            evaluate(model, built.objective, split).draw(run_dir / "pictures", name)
    model.load_state_dict(last)


def _splits(config: Config, data: Data[Any, Any]) -> dict[str, Split[Any]]:
    """The splits that a stage works on, by name."""
    splits = {"val": data.val, "test": data.test}
    if config.stage == "validate" and data.val is not None:  # what the training validated
        return limited(data, config.training)[1]
    if config.stage == "predict":
        wanted = "test" if data.test is not None else "val"
    else:
        wanted = {"validate": "val", "test": "test"}[config.stage]
    split = splits[wanted]
    if split is None:
        raise UserError(
            f"stage={config.stage}: these data have no {wanted} split. If an option of the data "
            "keeps one, train with it as well."
        )
    return {wanted: split}


def _predict(model: nn.Module, objective: Objective[Any], split: Split[Any], path: Path) -> None:
    rows = 0
    model.eval()
    with torch.no_grad(), replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        for batch in split.batches(epoch=0):
            columns = objective.predict(model, batch)
            if rows == 0:
                writer.writerow(["index", *columns])
            for values in zip(*(column.tolist() for column in columns.values()), strict=True):
                writer.writerow([rows, *values])
                rows += 1
        text.detach()  # all of it is in the file now, which stays open
    log.info("Wrote %d predictions to %s.", rows, path)
