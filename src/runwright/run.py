"""A run: builds everything, in order."""

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runwright.caller import Caller
from runwright.config import Config, chosen_name
from runwright.errors import ConfigError, RunError, UserError
from runwright.factory import Settings
from runwright.model_size import does_not_fit
from runwright.plain import plain_values
from runwright.training.memory import explaining_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Generator

    from runwright.distributed import World
    from runwright.rundir.checkpoint import Checkpoint
    from runwright.rundir.directory import RunDir
    from runwright.runtime import Runtime
    from runwright.training.built import Built
    from runwright.training.run_log import RunLog
    from runwright.training.stop import StopRequest

log = logging.getLogger(__name__)

_IN_PYTHON: Final = Caller()

_FINISHED: Final = (
    "This run has finished. %s\n"
    "To train longer, increase training.epochs or training.max_steps, with "
    "checkpoint.allow_changes=true. To start over, use another %s."
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
    """
    from runwright import preflight
    from runwright.distributed import joined
    from runwright.rundir.directory import RunDir
    from runwright.runtime import Runtime, choose_device, seed_everything
    from runwright.training.stop import StopRequest

    if problems := preflight.problems(config):
        raise ConfigError(problems)
    with (
        joined(config.gpu) as world,
        StopRequest(caller.is_preempted) as stop,  # also while the run directory is prepared
        RunDir.open(run_dir, config, world, caller) as directory,
    ):
        if directory.finished is not None:
            log.info(_FINISHED, directory.finished, caller.directory_option)
            if not (config.pictures and directory.lacks_pictures):
                return directory.finished.value
        where = "on the CPU" if config.gpu < 0 else f"and GPU {config.gpu}"
        log.info("Starting a run with seed %d %s.", config.seed, where)
        device = choose_device(config.gpu) if world.size == 1 else world.device
        seed_everything(config.seed, deterministic=config.deterministic)
        runtime = Runtime(device=device, seed=config.seed, run_dir=directory.path)
        built = build(config, runtime, world)
        if config.stage == "fit":
            value = _train(built, directory, world, caller, stop)
        else:
            value = _measure_or_predict(built, world)
        stop.raise_if_requested()  # in the last step: the run is done, what follows is not
        return value


Config.runner = staticmethod(run)


def build(config: Config, runtime: "Runtime", world: "World") -> "Built[Any]":
    """Build the data, then the model and the objective that fit them.

    Raises:
        UserError: the data are missing or broken, the options do not fit them, or the memory is
            too small.
    """
    from runwright.training.built import Built
    from runwright.training.model_summary import architecture

    with world.main_first(), _explaining_size("dm", config.dm):  # the main process fills the caches
        data = config.dm.build(runtime)
    with _explaining_size("model", config.model):
        model = config.model.build(data.dims)
        log.info("Model architecture:\n%s", architecture(model, how=config.print_model))
        model = model.to(runtime.device)
    world.seed_by_rank(config.seed)
    with _explaining_size("objective", config.objective):
        objective = config.objective.build(data.dims, runtime.device)
    return Built(config=config, runtime=runtime, data=data, model=model, objective=objective)


def _measure_or_predict(built: "Built[Any]", world: "World") -> float:
    from runwright.stages import measure_or_predict

    stage = f"stage={built.config.stage}"
    if world.size > 1:
        raise UserError(f"{stage} runs in one process; leave out torchrun.")
    with _explaining_out_of_memory(stage, built.config):
        return measure_or_predict(built)


def _train(
    built: "Built[Any]", directory: "RunDir", world: "World", caller: Caller, stop: "StopRequest"
) -> float:
    """Train what was built: from scratch, from other weights, or from its last checkpoint."""
    from runwright.rundir.checkpoint import Checkpoints
    from runwright.stages import draw_results, load_weights
    from runwright.training.loop import Training

    config, data, model = built.config, built.data, built.model
    draws = config.pictures and world.is_main
    with _explaining_out_of_memory("before or after the training", config):
        checkpoints = Checkpoints(directory.path / "checkpoints", config.checkpoint)
        with world.main_first():
            if world.is_main:
                checkpoints.clean()
        resumed = checkpoints.latest()
        if resumed is None and config.checkpoint.load is not None:
            load_weights(model, config.checkpoint.load)
        if config.training.compile:
            model.compile()
        with _recording(built, resumed, world) as run_log:
            training = Training(built, checkpoints, run_log, reporter=caller.reporter, world=world)
            if resumed is not None:
                training.resume(resumed, is_changed=bool(directory.changed))
                has_ended = training.state.finished
                stands = directory.finished is not None or (has_ended and directory.changed)
                if not stands:  # nor record a change that nothing is trained with
                    directory.record()
            elif draws and data.draw_examples is not None:
                data.draw_examples(directory.path / "pictures" / "training_examples.png")
            fitted = training.run(stop)
            if draws:
                draw_results(training)
            log.info("%s", fitted)
            if world.is_main:
                checkpoints.finish()
            parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
            directory.finish(fitted, parameters=parameters)
    return fitted.value


@contextlib.contextmanager
def _recording(
    built: "Built[Any]", resumed: "Checkpoint | None", world: "World"
) -> "Generator[RunLog]":
    """The records of the training, open within this context; only one process records."""
    from runwright.training import wandb_log
    from runwright.training.run_log import NoLog, RunLog

    config, run_dir = built.config, built.runtime.run_dir
    if world.is_main:
        wandb = wandb_log.start(
            config.wandb,
            config=plain_values(config),
            resumed_id=resumed and resumed.info["wandb_id"],
        )
        run_log = RunLog(run_dir, wandb_log=wandb, tensorboard=config.tensorboard)
    else:
        run_log = NoLog(run_dir)
    failed = True
    try:
        yield run_log
        failed = False
    finally:
        run_log.close(failed=failed)


def _explaining_size(group: str, chosen: Settings) -> contextlib.AbstractContextManager[None]:
    """Within this context, a factory that runs out of memory says so in a sentence."""
    named = f"{group}={chosen_name(chosen)}"
    return explaining_out_of_memory(lambda said: does_not_fit(named, said))


def _explaining_out_of_memory(what: str, config: Config) -> contextlib.AbstractContextManager[None]:
    def explain(said: str) -> RunError:
        return RunError(
            f"Out of memory, {what}: {said}. Use training.precision=bf16, a smaller model, "
            f"{config.dm.smaller_examples}, or another device (gpu)."
        )

    return explaining_out_of_memory(explain)
