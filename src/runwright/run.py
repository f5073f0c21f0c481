"""A run: builds everything, in order."""

import contextlib
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from runwright.caller import Caller, is_restarted
from runwright.checks.model_size import does_not_fit
from runwright.config import Config, chosen_name
from runwright.errors import ConfigError, Interrupted, RunError, UserError, free_variables
from runwright.factory import Settings
from runwright.model import FittedModel
from runwright.plain import given_path
from runwright.training.memory import explaining_out_of_memory, explaining_small_memory

if TYPE_CHECKING:
    from runwright.device.distributed import World
    from runwright.device.runtime import Runtime
    from runwright.rundir.directory import RunDir
    from runwright.training.built import Built

log = logging.getLogger(__name__)

_IN_PYTHON: Final = Caller()

_FINISHED: Final = (
    "This run has finished. %s\n"
    "To train longer, increase training.epochs or training.max_steps, with "
    "checkpoint.allow_changes=true. To start over, add overwrite=true, or use another %s."
)


def run(config: Config, run_dir: Path | str | None = None, caller: Caller = _IN_PYTHON) -> float:
    """Build what the configuration describes, and train, validate, test or predict.

    Args:
        config: what to run.
        run_dir: where to write; the run is resumed if there are checkpoints in it. By default a
            new directory under `outputs/`.
        caller: who started the run, and receives every validation.

    Returns:
        The monitored measure at the best validation (`stage=fit`), or the measure of the same
        name on the split that was asked for (`validate`, `test`). NaN after `predict`.

    Raises:
        UserError: something in the configuration or the data must be fixed first.
        RunError: the training failed, or the memory is too small for it or for the stage.
        Interrupted: after Ctrl-C; if there was anything to save, a checkpoint has been saved.
    """
    from runwright.device.runtime import global_state_kept

    if run_dir is not None:
        run_dir = given_path(run_dir, "run")
    if not isinstance(config, Config):  # pyright: ignore[reportUnnecessaryIsInstance]  # Python does not check it
        raise UserError(f"run takes a configuration, such as compose([…]) makes, got {config!r}.")
    try:
        with global_state_kept():
            return _run(config, run_dir, caller)
    except (UserError, RunError) as error:
        # A notebook keeps its last error, which would keep the model while the next run needs room.
        free_variables(error)
        raise
    except KeyboardInterrupt as error:
        free_variables(error)
        raise Interrupted(*error.args) from None


def _run(config: Config, run_dir: Path | str | None, caller: Caller) -> float:
    from runwright.checks import preflight
    from runwright.device.distributed import joined
    from runwright.device.runtime import (
        Runtime,
        choose_device,
        choose_float32_precision,
        seed_everything,
    )
    from runwright.rundir.directory import RunDir
    from runwright.train import train
    from runwright.trained import training_dir
    from runwright.training.stop import StopRequest

    if problems := preflight.problems(config, begins=begins(config, run_dir)):
        raise ConfigError(problems)
    with (
        joined(config.gpu) as world,
        StopRequest(caller.is_preempted) as stop,  # also while the run directory is prepared
        RunDir.open(run_dir, config, world, caller) as directory,
    ):
        if config.stage.trains:
            _take_over_vocabulary(config, directory, world, caller)
        if directory.finished is not None:
            log.info(_FINISHED, directory.finished, caller.directory_option)
            lacks_pictures = config.pictures and directory.lacks_pictures
            if not lacks_pictures and set(config.then) <= set(directory.stages_done):
                return directory.finished.value
        where = "on the CPU" if config.gpu < 0 else f"and GPU {config.gpu}"
        log.info("Starting a run with seed %d %s.", config.seed, where)
        device = choose_device(config.gpu) if world.size == 1 else world.device
        seed_everything(config.seed, deterministic=config.deterministic)
        choose_float32_precision(config.training.float32_precision)
        weights = None if config.stage.trains else _weights(config, directory.path, world)
        runtime = Runtime(
            device=device,
            seed=config.seed,
            run_dir=directory.building,
            training_dir=directory.building if weights is None else training_dir(weights),
            trains=weights is None,
        )
        built = build(config, runtime, world)
        if weights is None:
            value = train(built, directory, world, caller, stop)
        else:
            value = _apply(built, weights)
        stop.raise_if_requested()  # in the last step: the run is done, what follows is not
        return value


Config.runner = staticmethod(run)


def begins(config: Config, run_dir: Path | str | None) -> bool:
    """Whether a training begins in this directory, rather than resumes."""
    from runwright.rundir.checkpoint import Checkpoints

    if not getattr(config.stage, "trains", False):  # which Python lets be of another type
        return False
    if config.overwrite and not is_restarted():
        return True
    return (
        run_dir is None or not Checkpoints(Path(run_dir) / "checkpoints", config.checkpoint).exist()
    )


def _take_over_vocabulary(
    config: Config, directory: "RunDir", world: "World", caller: Caller
) -> None:
    """Copy what the data of another run kept, if this one starts from that run's state or weights.

    The weights count on it: vocabularies, categories and the like.

    Raises:
        UserError: the other run cannot be continued in this directory.
    """
    from runwright.rundir.branch import check_origin, take_over_kept
    from runwright.rundir.checkpoint import find_weights
    from runwright.trained import training_dir

    origin = config.checkpoint.resume_from
    if origin is not None:
        check_origin(
            *(origin, directory.path, caller.directory_option),
            resumes=not directory.overwrites,
        )
    elif config.checkpoint.load is not None and begins(config, directory.path):
        origin = training_dir(find_weights(config.checkpoint.load))
    if origin is not None:
        with world.main_first():
            take_over_kept(origin, directory.building)


def build(config: Config, runtime: "Runtime", world: "World") -> "Built[Any]":
    """Build the data, then the model and the objective that fit them.

    Raises:
        UserError: the data are missing or broken, the options do not fit them, or the memory is
            too small.
    """
    from runwright.training.built import Built
    from runwright.training.finetune.start import prepare
    from runwright.training.model_summary import architecture

    with world.main_first(), _explaining_size("dm", config.dm):  # the main process fills the caches
        read = config.dm.build if config.stage.needs_data else config.dm.without_examples
        data = read(runtime)
    dims = config.objective.for_model(data.dims)
    with _explaining_size("model", config.model):
        model = config.model.build(dims)
        frozen = prepare(model, config.finetune)
        log.info("Model architecture:\n%s", architecture(model, how=config.print_model))
        model = model.to(runtime.device)
    if isinstance(model, FittedModel):
        data = attrs.evolve(data, train=data.train.each_once())
    world.seed_by_rank(config.seed)
    with _explaining_size("objective", config.objective):
        objective = config.objective.build(dims, runtime.device)
    return Built(
        config=config,
        runtime=runtime,
        data=data,
        model=model,
        objective=objective,
        frozen=frozen,
    )


def _weights(config: Config, run_dir: Path, world: "World") -> Path:
    """The weights that a stage is about, found before any data are read."""
    from runwright.trained import weights_for

    if world.size > 1:
        stage = chosen_name(config.stage)
        raise UserError(f"stage={stage} runs in one process; leave out torchrun.")
    return weights_for(config, run_dir)


def _apply(built: "Built[Any]", weights: Path) -> float:
    from runwright.trained import trained
    from runwright.training.signs_of_life import SignsOfLife, duration

    stage = built.config.stage
    stage.check(built.data)
    stage.check_objective(built.objective)
    named, began = f"stage={chosen_name(stage)}", time.monotonic()

    def say() -> None:
        log.info("%s (%s so far)", named, duration(time.monotonic() - began))

    with explaining_small_memory(named, built.config), contextlib.closing(SignsOfLife(say)):
        return stage.run(trained(built, weights))


def _explaining_size(group: str, chosen: Settings) -> contextlib.AbstractContextManager[None]:
    """Within this context, a factory that runs out of memory says so in a sentence."""
    named = f"{group}={chosen_name(chosen)}"
    return explaining_out_of_memory(lambda said: does_not_fit(named, said))
