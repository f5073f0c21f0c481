"""A training run: where it starts, the training itself, and what follows it."""

import contextlib
import logging
from collections.abc import Generator
from typing import Any, cast

import attrs
import torch

from runwright.caller import Caller
from runwright.config import Config, chosen_name
from runwright.device.distributed import World
from runwright.device.generators import generators_kept
from runwright.factory import CONFIG_GROUPS
from runwright.finetune_options import FinetuneCfg
from runwright.model import DataInitialized
from runwright.plain import leaves, plain_values
from runwright.rundir.branch import begin_as_branch, find_checkpoint
from runwright.rundir.checkpoint import Checkpoint, Checkpoints
from runwright.rundir.directory import RunDir
from runwright.rundir.result import FitResult
from runwright.rundir.tensor_files import read_weights
from runwright.stage import Stage
from runwright.trained import draw_results, load_weights, trained_here
from runwright.training import wandb_log
from runwright.training.built import Built
from runwright.training.compiling import compile_model
from runwright.training.finetune.adapter_files import write_adapters
from runwright.training.finetune.lora import refuse_idle_adapters
from runwright.training.finetune.start import Start
from runwright.training.going_on import branch, resume
from runwright.training.loop import Training
from runwright.training.memory import explaining_small_memory
from runwright.training.run_log import NoLog, RunLog
from runwright.training.stop import StopRequest

log = logging.getLogger(__name__)


def train(
    built: Built[Any], directory: RunDir, world: World, caller: Caller, stop: StopRequest
) -> float:
    """Train what was built: from scratch, from other weights, or from its last checkpoint."""
    config = built.config
    home = attrs.evolve(built.runtime, run_dir=directory.path, training_dir=directory.path)
    for stage in _following(config):
        stage.check(built.data)
        stage.check_objective(built.objective)
    with explaining_small_memory("before or after the training", config):
        checkpoints = Checkpoints(directory.path / "checkpoints", config.checkpoint)
        with world.main_first():
            if world.is_main:
                checkpoints.clean()
        resumed = None if directory.overwrites else checkpoints.latest()
        origin = None if resumed is not None else _origin(config, directory, world)
        if resumed is None:
            if origin is None:
                _initialize(built)
            _start_from_weights(built, world)
        built = attrs.evolve(built, runtime=home)
        if config.training.compile:
            compile_model(built.model, built.objective)
        with _recording(built, resumed, world) as run_log:
            training = Training(built, checkpoints, run_log, reporter=caller.reporter, world=world)
            refuse_idle_adapters(built.model, training.step.optimizers.values())
            if resumed is not None:
                _resume(training, resumed, directory)
            if origin is not None:
                branch(training, origin)
            directory.take_place(world)
            if resumed is None and world.is_main:
                _draw_examples(built)
            fitted = training.run(stop)
            _finish(training, fitted, directory)
    return fitted.value


def _resume(training: Training[Any], checkpoint: Checkpoint, directory: RunDir) -> None:
    resume(training, checkpoint, is_changed=bool(directory.changed))
    has_ended = training.state.finished
    stands = directory.finished is not None or (has_ended and directory.changed)
    if not stands:  # nor record a change that nothing is trained with
        directory.record()


def _draw_examples(built: Built[Any]) -> None:
    draw = built.data.draw_examples
    if built.config.pictures and draw is not None:
        with generators_kept(built.runtime.device):  # pictures change no training
            draw(built.runtime.run_dir / "pictures" / "training_examples.png")


def _finish(training: Training[Any], fitted: FitResult, directory: RunDir) -> None:
    """Write what a finished training leaves behind; then do the stages that follow it."""
    built, is_main = training.built, training.world.is_main
    if built.config.pictures and is_main:
        draw_results(training)
    log.info("%s", fitted)
    training.run_log.doing("finishing")
    training.run_log.finish(_options(built.config), fitted.value, training.checkpoints.best)
    if is_main:
        training.checkpoints.finish()
        _write_adapters(built, training.checkpoints)
    parameters = sum(p.numel() for p in built.model.parameters() if p.requires_grad)
    directions = {"loss": False, **built.objective.higher_is_better}
    directory.finish(fitted, parameters=parameters, higher_is_better=directions)
    if is_main:
        _follow(training, directory)


def _options(config: Config) -> dict[str, Any]:
    """What decides how a training goes, by key."""
    found: dict[str, Any] = {"seed": config.seed}
    for group in ("dm", "model", "objective", "opt"):
        found[group] = chosen_name(getattr(config, group))
    for group in ("dm", "model", "objective", "opt", "training"):
        found |= dict(leaves(plain_values(getattr(config, group)), group))
    return found


def _initialize(built: Built[Any]) -> None:
    """Let the model set those of its first weights that follow from training examples."""
    model: Any = built.model
    if isinstance(model, DataInitialized):
        with torch.no_grad(), generators_kept(built.runtime.device):
            model.initialize(built.data.train.as_measured().batches(0))


def _start_from_weights(built: Built[Any], world: World) -> None:
    """Load what the training starts from besides what was built, if that is asked for."""
    config = built.config
    if config.checkpoint.load is not None:
        load_weights(built.model, config.checkpoint.load)
    if config.finetune == FinetuneCfg():
        return
    start = Start(built.model, config.finetune)
    start.load()
    if world.is_main:
        start.record(built.runtime.run_dir, built.frozen)


def _write_adapters(built: Built[Any], checkpoints: "Checkpoints") -> None:
    """Write the adapters that were trained, the best, as other programs read them."""
    lora = built.config.finetune.lora
    if not lora.layers or lora.merge:
        return
    newest = checkpoints.best if checkpoints.best.exists() else checkpoints.newest()
    if newest is not None:
        weights = read_weights(newest)
        folder = write_adapters(built.runtime.run_dir, built.model, weights, built.config.finetune)
        log.info("Wrote the adapters to %s.", folder)


def _origin(config: Config, directory: RunDir, world: World) -> Checkpoint | None:
    """The checkpoint of another run that this one is to continue, if there is one."""
    if config.checkpoint.resume_from is None:
        return None
    origin = find_checkpoint(config.checkpoint.resume_from)
    if world.is_main:
        begin_as_branch(directory.building, origin.path, config)
    return origin


def _following(config: Config) -> list[Stage]:
    """The stages that are to follow the training, with their usual options."""
    return [cast("type[Stage]", CONFIG_GROUPS["stage"][name])() for name in config.then]


def _follow(training: Training[Any], directory: RunDir) -> None:
    """Do those stages that are to follow the training, and have not done so yet."""
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
        training.run_log.doing(f"stage={name}")
        with explaining_small_memory(f"stage={name}", config):
            stage.run(trained)
        directory.record_stage(name)


@contextlib.contextmanager
def _recording(built: Built[Any], resumed: Checkpoint | None, world: World) -> Generator[RunLog]:
    """The records of the training, open within this context; only one process records."""
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
