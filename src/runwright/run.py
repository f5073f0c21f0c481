"""The configuration of a run, and the run itself: everything that is built, in order."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from runwright.checkpoint import CheckpointCfg
from runwright.data import DataModule
from runwright.dims import accepts
from runwright.errors import ConfigError, UserError
from runwright.extras import require_extra
from runwright.factory import CONFIG_GROUPS, Settings, name_of, option, settings, type_argument
from runwright.logging import WandbCfg
from runwright.model import ModelFactory
from runwright.objective import ObjectiveFactory
from runwright.optimisation import OptimisationCfg
from runwright.training import TrainingCfg

if TYPE_CHECKING:
    from torch import nn

    from runwright.data import Data
    from runwright.loop import Fitted
    from runwright.objective import Objective
    from runwright.runtime import Runtime
    from runwright.signals import StopRequest

log = logging.getLogger(__name__)

Stage = Literal["fit", "validate", "test", "predict"]


@settings
class Config(Settings):
    """All that determines a run."""

    dm: DataModule = option(doc="the data")
    model: ModelFactory = option(doc="the model")
    objective: ObjectiveFactory = option(doc="the loss and the measures; follows from the data")
    opt: OptimisationCfg = option(default=OptimisationCfg(), doc="the optimiser")
    training: TrainingCfg = option(default=TrainingCfg(), doc="the training loop")
    checkpoint: CheckpointCfg = option(default=CheckpointCfg(), doc="the checkpoints")
    wandb: WandbCfg = option(default=WandbCfg(), doc="Weights & Biases")
    tensorboard: bool = option(
        harmless=True, default=False, doc="whether to write TensorBoard files as well"
    )
    pictures: bool = option(harmless=True, default=True, doc="whether to draw the run's pictures")
    seed: int = option(default=42, ge=0, doc="seed of every random choice")
    gpu: int = option(
        harmless=True, default=0, ge=-1, doc="index of the CUDA device; -1 is the CPU"
    )
    deterministic: bool = option(
        default=False, doc="whether to use only kernels whose results are equal to the bit"
    )
    stage: Stage = option(
        harmless=True, default="fit", doc="train, or measure or apply trained weights"
    )

    @override
    def problems(self) -> Iterator[str]:
        published = type_argument(type(self.dm))
        if not isinstance(published, type):
            return
        for group in ("model", "objective"):
            chosen: Settings = getattr(self, group)
            if not accepts(type_argument(type(chosen)), published):
                fitting = sorted(
                    name
                    for name, cls in CONFIG_GROUPS.get(group, {}).items()
                    if accepts(type_argument(cls), published)
                )
                yield (
                    f"{group}={_name(chosen)} does not fit dm={_name(self.dm)}, whose data are "
                    f"described by {published.__name__}. Those that fit: {', '.join(fitting)}."
                )

    def run(self, run_dir: Path | str | None = None) -> float:
        """Run this configuration; see `run`."""
        return run(self, run_dir)


def run(config: Config, run_dir: Path | str | None = None) -> float:
    """Build what the configuration describes, and train, validate, test or predict.

    Args:
        config: what to run.
        run_dir: where to write; the run is resumed if there are checkpoints in it. By default a
            new directory under `outputs/`.

    Returns:
        The monitored measure at the best validation (`stage=fit`), or the measure of the same
        name on the split that was asked for (`validate`, `test`). NaN after `predict`.

    Raises:
        UserError: something in the configuration or the data must be mended first.
        RunError: the training failed.
    """
    from runwright.rundir import RunDir
    from runwright.signals import StopRequest

    _preflight(config)
    with RunDir.open(run_dir, config) as directory, StopRequest() as stop:
        if config.gpu < 0:
            log.info("Starting a run with seed %d on the CPU.", config.seed)
        else:
            log.info("Starting a run with seed %d and GPU %d.", config.seed, config.gpu)
        value = _run(config, directory.path, stop)
        directory.finish(value)
        stop.raise_if_requested()  # in the last step: the run is done, what would follow is not
        return value


def _preflight(config: Config) -> None:
    """Find all that can be wrong before a run directory is made and data are read.

    Where the Dims follow from the options, the model is built on the meta device, without memory.

    Raises:
        ConfigError: with everything that is wrong.
    """
    import torch

    problems: list[str] = []

    def attempt(check: Callable[[], object]) -> None:
        try:
            check()
        except UserError as error:
            problems.append(str(error))

    for part in (config.dm, config.model, config.objective, config.opt, config.wandb):
        attempt(part.preflight)
    if config.tensorboard:
        attempt(lambda: require_extra("tensorboard", "tensorboard", "tensorboard=true"))
    dims = config.dm.expected_dims()
    if dims is not None and not problems:
        # What does not work on this device (reading a number from a tensor) will for real.
        with torch.device("meta"), contextlib.suppress(RuntimeError, NotImplementedError):
            attempt(lambda: config.opt.build(config.model.build(dims)))
            attempt(lambda: config.objective.build(dims, torch.device("meta")))
    if problems:
        raise ConfigError(problems)


def _run(config: Config, run_dir: Path, stop: "StopRequest") -> float:
    from runwright.runtime import Runtime, choose_device, seed_everything

    device = choose_device(config.gpu)
    seed_everything(config.seed, deterministic=config.deterministic)
    runtime = Runtime(device=device, seed=config.seed, run_dir=run_dir)

    data = config.dm.build(runtime)
    model = config.model.build(data.dims)
    log.info("Model architecture:\n%s", model)
    model = model.to(device)
    objective = config.objective.build(data.dims, device)
    if config.stage != "fit":
        from runwright import stages

        return stages.measure_or_predict(config, runtime, data, model, objective)
    fitted = _fit(config, runtime, data=data, model=model, objective=objective, stop=stop)
    log.info(
        "Best %s: %.4f, at step %d of %d.", fitted.monitor, fitted.value, fitted.step, fitted.steps
    )
    return fitted.value


def _fit(
    config: Config,
    runtime: "Runtime",
    *,
    data: "Data[Any, Any]",
    model: "nn.Module",
    objective: "Objective[Any]",
    stop: "StopRequest",
) -> "Fitted":
    from runwright.checkpoint import Checkpoints
    from runwright.logging import RunLog
    from runwright.loop import Training

    run_dir = runtime.run_dir
    checkpoints = Checkpoints(run_dir / "checkpoints", config.checkpoint)
    checkpoints.clean()
    resumed = checkpoints.latest()
    if resumed is None and config.checkpoint.load is not None:
        from runwright.stages import load_weights

        load_weights(model, Path(config.checkpoint.load))
    if config.training.compile:
        model.compile()
    wandb_run = config.wandb.build(
        config=config_values(config), resumed_id=resumed and resumed.info["wandb_id"]
    )
    run_log = RunLog(run_dir, wandb_run=wandb_run, tensorboard=config.tensorboard)
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
        )
        if resumed is not None:
            training.restore(resumed)
            log.info("Resuming after step %d of %d.", training.progress.step, training.total_steps)
        elif config.pictures and data.draw_examples is not None:
            data.draw_examples(run_dir / "pictures" / "training_examples.png")
        fitted = training.run(stop)
        if config.pictures:
            from runwright.stages import draw_results

            draw_results(training, run_dir)
        failed = False
    finally:
        run_log.close(failed=failed)
    return fitted


def config_values(settings: Settings) -> dict[str, Any]:
    """The options as plain values (numbers, strings, lists, dictionaries), as YAML holds them."""
    from runwright.schema import plain_values

    return plain_values(settings)


def _name(factory: Settings) -> str:
    return name_of(type(factory)) or type(factory).__name__
