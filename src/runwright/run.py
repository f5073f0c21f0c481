"""A run: everything that is built, in order."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runwright.caller import Caller
from runwright.config import Config, chosen_name
from runwright.errors import ConfigError, RunError, UserError
from runwright.factory import Settings
from runwright.plain import plain_values
from runwright.training.memory import explaining_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from runwright.caller import Reporter
    from runwright.data import Data
    from runwright.distributed import World
    from runwright.objective import Objective
    from runwright.rundir.directory import RunDir
    from runwright.rundir.result import FitResult
    from runwright.runtime import Runtime
    from runwright.training.stop import StopRequest

log = logging.getLogger(__name__)

_IN_PYTHON: Final = Caller()

_FINISHED: Final = (
    "This run has finished. %s\n"
    "To train on, ask for more training.epochs or training.max_steps, with "
    "checkpoint.allow_changes=true. To start anew, take another %s."
)


def run(config: Config, run_dir: Path | str | None = None, caller: Caller = _IN_PYTHON) -> float:
    """Build what the configuration describes, and train, validate, test or predict.

    Args:
        config: what to run.
        run_dir: where to write; the run is resumed if there are checkpoints in it. By default a
            new directory under `outputs/`.
        caller: who started the run, and is told of every validation.

    Returns:
        The monitored measure at the best validation (`stage=fit`), or the measure of the same
        name on the split that was asked for (`validate`, `test`). NaN after `predict`.

    Raises:
        UserError: something in the configuration or the data must be mended first.
        RunError: the training failed, or the memory is too small for it or for the stage.
    """
    from runwright import preflight
    from runwright.distributed import joined
    from runwright.rundir.directory import RunDir
    from runwright.training.stop import StopRequest

    if problems := preflight.problems(config):
        raise ConfigError(problems)
    with (
        joined(config.gpu) as world,
        StopRequest(caller.is_preempted) as stop,  # also while the run directory is put in order
        RunDir.open(run_dir, config, world, caller) as directory,
    ):
        if directory.finished is not None:
            log.info(_FINISHED, directory.finished, caller.directory_option)
            if not (config.pictures and directory.lacks_pictures):
                return directory.finished.value
        if config.gpu < 0:
            log.info("Starting a run with seed %d on the CPU.", config.seed)
        else:
            log.info("Starting a run with seed %d and GPU %d.", config.seed, config.gpu)
        value = _run(config, directory, stop, world=world, reporter=caller.reporter)
        stop.raise_if_requested()  # in the last step: the run is done, what would follow is not
        return value


Config.runner = staticmethod(run)


def _run(
    config: Config,
    directory: "RunDir",
    stop: "StopRequest",
    *,
    world: "World",
    reporter: "Reporter | None",
) -> float:
    from runwright.runtime import Runtime, choose_device, seed_everything
    from runwright.training.model_summary import architecture

    device = choose_device(config.gpu) if world.size == 1 else world.device
    seed_everything(config.seed, deterministic=config.deterministic)
    runtime = Runtime(device=device, seed=config.seed, run_dir=directory.path)

    # The main process first, which fills the caches.
    with world.main_first(), explaining_out_of_memory(_too_large("dm", config.dm)):
        data = config.dm.build(runtime)
    with explaining_out_of_memory(_too_large("model", config.model)):
        model = config.model.build(data.dims)
        log.info("Model architecture:\n%s", architecture(model, how=config.print_model))
        model = model.to(device)
    world.draw_differently(config.seed)
    with explaining_out_of_memory(_too_large("objective", config.objective)):
        objective = config.objective.build(data.dims, device)
    if config.stage != "fit":
        from runwright import stages

        if world.size > 1:
            raise UserError(f"stage={config.stage} is done by one process; leave out torchrun.")
        with explaining_out_of_memory(lambda said: _out_of_memory(f"stage={config.stage}", said)):
            return stages.measure_or_predict(config, runtime, data, model, objective)
    with explaining_out_of_memory(lambda said: _out_of_memory("around the training", said)):
        fitted = _fit(
            config,
            directory,
            runtime,
            data=data,
            model=model,
            objective=objective,
            stop=stop,
            world=world,
            reporter=reporter,
        )
    return fitted.value


def _fit(
    config: Config,
    directory: "RunDir",
    runtime: "Runtime",
    *,
    data: "Data[Any, Any]",
    model: "nn.Module",
    objective: "Objective[Any]",
    stop: "StopRequest",
    world: "World",
    reporter: "Reporter | None",
) -> "FitResult":
    from runwright.rundir.checkpoint import Checkpoints
    from runwright.training import wandb_log
    from runwright.training.loop import Training
    from runwright.training.run_log import NoLog, RunLog

    run_dir = runtime.run_dir
    checkpoints = Checkpoints(run_dir / "checkpoints", config.checkpoint)
    with world.main_first():
        if world.is_main:
            checkpoints.clean()
    resumed = checkpoints.latest()
    if resumed is None and config.checkpoint.load is not None:
        from runwright.stages import load_weights

        load_weights(model, config.checkpoint.load)
    if config.training.compile:
        model.compile()
    if world.is_main:
        wandb = wandb_log.start(
            config.wandb,
            config=plain_values(config),
            resumed_id=resumed and resumed.info["wandb_id"],
        )
        run_log = RunLog(run_dir, wandb_log=wandb, tensorboard=config.tensorboard)
    else:
        run_log = NoLog(run_dir)
    draws = config.pictures and world.is_main
    failed = True
    try:
        training = Training(
            model=model,
            objective=objective,
            data=data,
            opt=config.opt,
            cfg=config.training,
            checkpoints=checkpoints,
            run_log=run_log,
            device=runtime.device,
            reporter=reporter,
            world=world,
        )
        if resumed is not None:
            training.restore(resumed, is_changed=bool(directory.changed))
            step, steps = training.progress.step, training.total_steps
            has_ended = training.progress.finished or step >= steps
            if has_ended:
                log.info("The training had come to its end, after step %d of %d.", step, steps)
            else:
                log.info("Resuming after step %d of %d.", step, steps)
            stands = directory.finished is not None or (has_ended and directory.changed)
            if not stands:  # nor is a change that nothing is trained with put on record
                directory.record()
        elif draws and data.draw_examples is not None:
            data.draw_examples(run_dir / "pictures" / "training_examples.png")
        fitted = training.run(stop)
        if draws:
            from runwright.stages import draw_results

            draw_results(training, run_dir)
        log.info("%s", fitted)
        parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        directory.finish(fitted, parameters=parameters)
        failed = False
    finally:
        run_log.close(failed=failed)
    return fitted


def _too_large(group: str, chosen: Settings) -> "Callable[[str], UserError]":
    """What is told when a factory does not get the memory that it asks for."""
    return lambda said: UserError(
        f"{group}={chosen_name(chosen)} does not fit into memory with these options: {said}. Make "
        f"it smaller with the options below {group} (--help shows them), or take another device "
        "(gpu)."
    )


def _out_of_memory(what: str, said: str) -> RunError:
    return RunError(
        f"Out of memory, {what}: {said}. Use training.precision=bf16, a smaller model, smaller "
        "examples (such as dm.default_res), or another device (gpu)."
    )
