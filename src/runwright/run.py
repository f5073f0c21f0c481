"""A run: builds everything, in order."""

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from runwright.caller import Caller, is_restarted
from runwright.config import Config, chosen_name
from runwright.errors import ConfigError, Interrupted, RunError, UserError, free_variables
from runwright.factory import CONFIG_GROUPS, Settings
from runwright.finetune_options import FinetuneCfg
from runwright.model_size import does_not_fit
from runwright.plain import plain_values
from runwright.training.memory import explaining_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Generator

    from runwright.distributed import World
    from runwright.rundir.checkpoint import Checkpoint, Checkpoints
    from runwright.rundir.directory import RunDir
    from runwright.runtime import Runtime
    from runwright.stage import Stage
    from runwright.training.built import Built
    from runwright.training.loop import Training
    from runwright.training.run_log import RunLog
    from runwright.training.stop import StopRequest

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
    from runwright.runtime import global_state_kept

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
    from runwright import preflight
    from runwright.distributed import joined
    from runwright.rundir.branch import check_origin, take_over_kept
    from runwright.rundir.checkpoint import find_weights
    from runwright.rundir.directory import RunDir
    from runwright.runtime import (
        Runtime,
        choose_device,
        choose_float32_precision,
        seed_everything,
    )
    from runwright.trained import training_dir
    from runwright.training.stop import StopRequest

    if problems := preflight.problems(config, begins=_begins(config, run_dir)):
        raise ConfigError(problems)
    with (
        joined(config.gpu) as world,
        StopRequest(caller.is_preempted) as stop,  # also while the run directory is prepared
        RunDir.open(run_dir, config, world, caller) as directory,
    ):
        if config.stage.trains and config.checkpoint.resume_from is not None:
            check_origin(
                config.checkpoint.resume_from,
                directory.path,
                caller.directory_option,
                resumes=not directory.overwrites,
            )
            with world.main_first():
                take_over_kept(config.checkpoint.resume_from, directory.building)
        elif config.stage.trains and config.checkpoint.load is not None:
            with world.main_first():  # its weights count on the vocabulary that they know
                home = training_dir(find_weights(config.checkpoint.load))
                take_over_kept(home, directory.building)
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
            value = _train(built, directory, world, caller, stop)
        else:
            value = _apply(built, weights)
        stop.raise_if_requested()  # in the last step: the run is done, what follows is not
        return value


Config.runner = staticmethod(run)


def _begins(config: Config, run_dir: Path | str | None) -> bool:
    """Whether a training begins in this directory, rather than resumes."""
    from runwright.rundir.checkpoint import Checkpoints

    if not getattr(config.stage, "trains", False):  # which Python lets be of another type
        return False
    if config.overwrite and not is_restarted():
        return True
    return (
        run_dir is None or not Checkpoints(Path(run_dir) / "checkpoints", config.checkpoint).exist()
    )


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
        data = config.dm.build(runtime)
    dims = config.objective.for_model(data.dims)
    with _explaining_size("model", config.model):
        model = config.model.build(dims)
        frozen = prepare(model, config.finetune)
        log.info("Model architecture:\n%s", architecture(model, how=config.print_model))
        model = model.to(runtime.device)
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

    stage = built.config.stage
    stage.check(built.data)
    stage.check_objective(built.objective)
    with _explaining_out_of_memory(f"stage={chosen_name(stage)}", built.config):
        return stage.run(trained(built, weights))


def _train(
    built: "Built[Any]", directory: "RunDir", world: "World", caller: Caller, stop: "StopRequest"
) -> float:
    """Train what was built: from scratch, from other weights, or from its last checkpoint."""
    from runwright.generators import generators_kept
    from runwright.rundir.checkpoint import Checkpoints
    from runwright.trained import draw_results
    from runwright.training.compiling import compile_model
    from runwright.training.finetune.lora import refuse_idle_adapters
    from runwright.training.loop import Training

    config, data, model = built.config, built.data, built.model
    home = attrs.evolve(built.runtime, run_dir=directory.path, training_dir=directory.path)
    for stage in _following(config):
        stage.check(data)
        stage.check_objective(built.objective)
    draws = config.pictures and world.is_main
    with _explaining_out_of_memory("before or after the training", config):
        checkpoints = Checkpoints(directory.path / "checkpoints", config.checkpoint)
        with world.main_first():
            if world.is_main:
                checkpoints.clean()
        resumed = None if directory.overwrites else checkpoints.latest()
        origin = None if resumed is not None else _origin(config, directory, world)
        if resumed is None:
            _start_from_weights(built, world)
        built = attrs.evolve(built, runtime=home)
        if config.training.compile:
            compile_model(model, built.objective)
        with _recording(built, resumed, world) as run_log:
            training = Training(built, checkpoints, run_log, reporter=caller.reporter, world=world)
            refuse_idle_adapters(model, training.step.optimizers.values())
            if resumed is not None:
                training.resume(resumed, is_changed=bool(directory.changed))
                has_ended = training.state.finished
                stands = directory.finished is not None or (has_ended and directory.changed)
                if not stands:  # nor record a change that nothing is trained with
                    directory.record()
            if origin is not None:
                training.branch(origin)
            directory.take_place(world)
            if resumed is None and draws and data.draw_examples is not None:
                with generators_kept(built.runtime.device):  # pictures change no training
                    data.draw_examples(directory.path / "pictures" / "training_examples.png")
            fitted = training.run(stop)
            if draws:
                draw_results(training)
            log.info("%s", fitted)
            if world.is_main:
                checkpoints.finish()
                _write_adapters(built, checkpoints)
            parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
            directory.finish(fitted, parameters=parameters)
            if world.is_main:
                _follow(training, directory)
    return fitted.value


def _start_from_weights(built: "Built[Any]", world: "World") -> None:
    """Load what the training starts from besides what was built, if that is asked for."""
    from runwright.trained import load_weights
    from runwright.training.finetune.start import Start

    config = built.config
    if config.checkpoint.load is not None:
        load_weights(built.model, config.checkpoint.load)
    if config.finetune == FinetuneCfg():
        return
    start = Start(built.model, config.finetune)
    if world.is_main:
        start.record(built.runtime.run_dir, built.frozen)
    start.load()


def _write_adapters(built: "Built[Any]", checkpoints: "Checkpoints") -> None:
    """Write the adapters that were trained, the best, as other programs read them."""
    from runwright.rundir.tensor_files import read_weights
    from runwright.training.finetune.adapter_files import write_adapters

    lora = built.config.finetune.lora
    if not lora.layers or lora.merge:
        return
    newest = checkpoints.best if checkpoints.best.exists() else checkpoints.newest()
    if newest is not None:
        weights = read_weights(newest)
        folder = write_adapters(built.runtime.run_dir, built.model, weights, built.config.finetune)
        log.info("Wrote the adapters to %s.", folder)


def _origin(config: Config, directory: "RunDir", world: "World") -> "Checkpoint | None":
    """The checkpoint of another run that this one is to continue, if there is one."""
    from runwright.rundir.branch import begin_as_branch, find_checkpoint

    if config.checkpoint.resume_from is None:
        return None
    origin = find_checkpoint(config.checkpoint.resume_from)
    if world.is_main:
        begin_as_branch(directory.building, origin.path, config)
    return origin


def _following(config: Config) -> "list[Stage]":
    """The stages that are to follow the training, with their usual options."""
    return [cast("type[Stage]", CONFIG_GROUPS["stage"][name])() for name in config.then]


def _follow(training: "Training[Any]", directory: "RunDir") -> None:
    """Do those stages that are to follow the training, and have not done so yet."""
    from runwright.trained import trained_here

    config = training.built.config
    named = {chosen_name(stage): stage for stage in _following(config)}
    undone = named.keys() - set(directory.stages_done)
    trained = trained_here(training) if undone else None
    for name, stage in named.items():
        if name not in undone:
            continue
        if trained is None:
            log.warning("then=[%s]: the model is sharded; take stage=%s by itself.", name, name)
            continue
        with _explaining_out_of_memory(f"stage={name}", config):
            stage.run(trained)
        directory.record_stage(name)


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
        run_log = RunLog(
            run_dir, wandb_log=wandb, tensorboard=config.tensorboard, draws=config.pictures
        )
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
