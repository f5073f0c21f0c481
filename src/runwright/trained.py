"""What stages get, made from the weights of a run; and the pictures of its results."""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import attrs
import torch
from torch import nn

from runwright.config import Config, chosen_name
from runwright.errors import UserError
from runwright.rundir.changes import changes, is_record
from runwright.rundir.checkpoint import find_weights
from runwright.rundir.layout import ENVIRONMENT
from runwright.rundir.learning_curves import draw_learning_curves
from runwright.rundir.safetensors_header import read_metadata
from runwright.rundir.tensor_files import read_weights
from runwright.stage import Trained
from runwright.training.built import Built
from runwright.training.evaluation import autocast, evaluate
from runwright.training.loop import Training
from runwright.training.monitor import measure_to_report
from runwright.training.run_log import RunLog
from runwright.training.sharding import is_sharded
from runwright.training.splits import limited_validation
from runwright.training.weights import load_into

log = logging.getLogger(__name__)

_MOMENT: Final = 2  # seconds


def weights_for(config: Config, run_dir: Path) -> Path:
    """The file with the weights that a stage uses.

    Raises:
        UserError: there are none, or they were trained with other data or another model.
    """
    weights = find_weights(config.checkpoint.load or run_dir)
    _refuse_other_data_or_model(config, weights)
    return weights


def training_dir(weights: Path) -> Path:
    """The directory of the run that trained these weights, or else the folder that they are in."""
    record = _record_beside(weights)
    return weights.parent if record is None else record.parent


def trained(built: Built[Any], weights: Path) -> Trained[Any]:
    """What a stage gets: the model with these weights, and everything that belongs to it.

    Raises:
        UserError: the weights do not fit the model, or there is no such measure to monitor.
    """
    load_weights(built.model, weights)
    return _with_best_weights(built, built.model, weights)


def trained_here(training: Training[Any]) -> Trained[Any] | None:
    """What a stage gets after a training in this process: the model with its best weights.

    Returns:
        None if the model is sharded, because then no process has all of it.
    """
    best, model = training.checkpoints.best, training.step.evaluated_model
    if is_sharded(model):
        return None
    load_into(model, read_weights(best), best)
    return _with_best_weights(training.built, model, best)


def _with_best_weights(built: Built[Any], model: nn.Module, weights: Path) -> Trained[Any]:
    config, device = built.config, built.runtime.device

    @contextlib.contextmanager
    def applying() -> Generator[None]:
        with torch.no_grad(), autocast(device, config.training.precision):
            yield

    validation = limited_validation(built.data, config.training)
    split, measure = measure_to_report(config.training, built.objective, built.data.also)
    return Trained(
        config=config,
        draws=config.pictures,
        runtime=built.runtime,
        data=attrs.evolve(built.data, val=validation.get("val")),
        validation=validation,
        model_name=_name_in(training_dir(weights)) or chosen_name(config.model),
        model=model.eval(),
        objective=built.objective,
        weights=weights,
        digest=read_metadata(weights).get("digest"),
        monitor=measure,
        monitored_split=split,
        applying=applying,
    )


def _name_in(run_dir: Path) -> str | None:
    """The name of the file that the model of a run was chosen by; None if none was."""
    try:
        chosen: dict[str, str] = json.loads((run_dir / ENVIRONMENT).read_text())["chosen"]
        return chosen.get("model")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # of an older version
        return None


def _refuse_other_data_or_model(config: Config, weights: Path) -> None:
    """Make sure that weights are measured on the data and with the model of their own run.

    Another split would silently measure them on what they were trained on.

    Raises:
        UserError: the run recorded next to them had other data or another model.
    """
    recorded = _record_beside(weights)
    if recorded is None:
        return
    changed = changes(recorded, config, within=("dm", "model"))
    if not changed:
        return
    listed = "\n".join(changed)
    if not config.checkpoint.allow_changes:
        raise UserError(
            f"The weights in {weights} were trained with other data or another model:\n{listed}\n"
            f"Use that run's configuration, --config-dir {recorded.parent} --config-name config, "
            "or use the weights anyway with checkpoint.allow_changes=true."
        )
    log.warning("Using weights that were trained differently:\n%s", listed)


def _record_beside(weights: Path) -> Path | None:
    """The `config.yaml` of the run that trained these weights, if it exists."""
    # The target of a link is where they were trained, unless it is in a mere store of files.
    places = (weights.resolve(), weights.absolute())
    records = (place.parent.parent / "config.yaml" for place in places)
    return next((path for path in records if is_record(path)), None)


def load_weights(model: nn.Module, location: Path) -> None:
    """Load a model's weights from a file or from a run directory (its best ones).

    Raises:
        UserError: there are none, or they do not fit this model; lists what differs.
    """
    path = find_weights(location)
    load_into(model, read_weights(path), path)
    log.info("Loaded the weights in %s.", path)


def draw_results(training: Training[Any]) -> None:
    """Draw the learning curves, and pictures of the validation of the best weights."""
    built = training.built
    run_dir = built.runtime.run_dir
    curves = run_dir / "pictures" / "learning_curves.png"
    draw_learning_curves(run_dir / "metrics.csv", curves, training.validation)
    if not training.validation:
        return
    best = training.checkpoints.best
    if not best.exists():
        log.warning("The validation is not drawn: the best weights, %s, do not exist.", best)
        return
    try:
        weights = read_weights(best)
    except UserError as damage:
        log.warning("The validation is not drawn: %s", damage)
        return
    model = training.step.evaluated_model
    if is_sharded(model):  # no process has all of it
        log.info("The model is sharded: to draw its validation, run stage=validate.")
        return
    last = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    say_if_long = _saying_if_long(training.run_log)
    with autocast(built.runtime.device, training.cfg.precision):
        for name, split in training.validation.items():
            evaluation = evaluate(
                *(model, built.objective, split),
                after_batch=say_if_long,
                seed=built.runtime.seed,
                device=built.runtime.device,
            )
            evaluation.draw(run_dir / "pictures", name)
    model.load_state_dict(last)


def _saying_if_long(run_log: RunLog) -> Callable[[], None]:
    """What says what goes on after the last step, if it takes longer than a moment."""
    began, is_said = time.monotonic(), False

    def after_batch() -> None:
        nonlocal is_said
        if not is_said and time.monotonic() - began > _MOMENT:
            is_said = True
            log.info("Validating the best weights once more, to draw it; pictures=false does not.")
        run_log.validating()

    return after_batch
