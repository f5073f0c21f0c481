"""The training loop, from top to bottom.

A *step* is one update of the weights, from `accumulate_grad_batches` batches. Everything that a
step depends on is a function of the step's number and of the state in the last checkpoint, so a
run that was killed and resumed ends with the same weights, to the byte, as one that was not: on
the CPU always, on a GPU with kernels whose results are equal to the bit (`deterministic`).
"""

import contextlib
import logging
import math
from pathlib import Path
from typing import Final, Generic, NoReturn, TypeVar

from runwright.caller import Reporter
from runwright.data import Batch
from runwright.device.distributed import World
from runwright.device.generators import generators_kept
from runwright.errors import RunError
from runwright.rundir.checkpoint import Checkpoints
from runwright.rundir.result import FitResult
from runwright.training.built import Built
from runwright.training.evaluation import autocast, evaluate
from runwright.training.finetune.freezing import keep_in_evaluation_mode
from runwright.training.gauges import Gauges
from runwright.training.length import steps_per_epoch, total_steps, validation_interval
from runwright.training.losses import LossHistory
from runwright.training.memory import explaining_out_of_memory
from runwright.training.monitor import TRAIN_LOSS, Monitor
from runwright.training.run_log import RunLog, lr_column
from runwright.training.snapshots import Snapshots
from runwright.training.splits import limited, part_of
from runwright.training.state import TrainState
from runwright.training.step import TrainStep, batches_per_step
from runwright.training.stop import StopRequest

log = logging.getLogger(__name__)

B = TypeVar("B", bound=Batch)

_ALONE: Final = World()

_NON_FINITE: Final = (
    "The {what} is {value} at step {step} (learning rate {lr}). Stopped; {saved}. Look for "
    "such values in the data, or try a lower opt.lr, a warm-up (opt.warmup) or training.clip_grad."
)

_OUT_OF_MEMORY: Final = (
    "Out of memory in step {step} of {steps}: {said}. Use a smaller batch size (such "
    "as dm.batch_size), with training.accumulate_grad_batches for as many examples per step as "
    "before; or training.precision=bf16, a smaller model, or another device (gpu)."
)

_OUT_OF_MEMORY_VALIDATING: Final = (
    "Out of memory in the validation after step {step} of {steps}: {said}. Use "
    "training.precision=bf16, a smaller model, {smaller_examples}, or another device (gpu)."
)


class Training(Generic[B]):
    """One training; `run` is the loop. `going_on.py` resumes one from a checkpoint."""

    def __init__(
        self,
        built: Built[B],
        checkpoints: Checkpoints,
        run_log: RunLog,
        *,
        reporter: Reporter | None = None,
        world: World = _ALONE,
    ) -> None:
        """Prepare a training from step 0.

        Raises:
            UserError: the options do not fit the data or the objective.
        """
        self.built = built
        self.cfg = cfg = built.config.training
        train, self.validation = limited(built.data, cfg)
        self.train = part_of(train, world.rank, world.size)
        self.batches_per_step = cfg.accumulate_grad_batches * batches_per_step(built.objective)
        self.steps_per_epoch = steps_per_epoch(self.train.num_batches, self.batches_per_step, cfg)
        self.total_steps = total_steps(cfg, self.steps_per_epoch)
        self.val_every = validation_interval(cfg, self.steps_per_epoch)
        self.monitor = Monitor(
            cfg,
            built.objective,
            validation=self.validation,
            keep_best=built.config.checkpoint.keep_best,
            reporter=reporter,
            world=world,
        )
        self.step = TrainStep(built, self.total_steps, world, steps_per_epoch=self.steps_per_epoch)
        self.gauges = Gauges(
            cfg.track,
            self.step,
            built.runtime.device,
            examples_per_step=self.batches_per_step * len(train) / max(1, train.num_batches),
        )
        self.losses = LossHistory(world)
        self.state = TrainState(monitor=self.monitor.name)
        self.checkpoints = checkpoints
        checkpoints.steps_per_epoch = self.steps_per_epoch
        self.snapshots = Snapshots(built, self.step, checkpoints, world)
        self.run_log = run_log
        self.world = world

    def run(self, stop: StopRequest) -> FitResult:
        """Train until the last step, an early stop, or a request to stop.

        Raises:
            RunError: the loss is no longer finite, or the memory is too small.
            KeyboardInterrupt, SystemExit: a stop was requested; a checkpoint has been saved.
        """
        try:
            with stop.after_the_step(), self._explaining_out_of_memory(_OUT_OF_MEMORY, ahead=1):
                self._loop(stop)
        except BaseException:
            # Whatever went wrong since, keep what was measured to be good, if possible.
            with contextlib.suppress(OSError, MemoryError, RuntimeError):
                self.snapshots.write_best()
            raise
        state = self.state
        return FitResult(
            monitor=self.monitor.name,
            value=math.nan if state.best is None else state.best,
            step=state.step if state.best is None else state.best_step,
            steps=state.step,
            measures=state.best_measures,
            higher_is_better=self.monitor.higher_is_better,
            pruned=state.pruned,
            is_last=not self.monitor.selects,
        )

    def _loop(self, stop: StopRequest) -> None:
        state, cfg, monitor, world = self.state, self.cfg, self.monitor, self.world
        self.run_log.begin(
            step=state.step,
            total_steps=self.total_steps,
            log_every=cfg.log_every,
            validation=self.validation,
            optimizers=self.step.optimizers,
        )
        self._train_mode()
        while state.step < self.total_steps and not state.finished:
            epoch, done = divmod(state.step, self.steps_per_epoch)
            batches = self.step.batches(self.train, epoch, done * self.batches_per_step)
            for _ in range(min(self.steps_per_epoch - done, self.total_steps - state.step)):
                # Forward, backward, clip, update: one step.
                self.losses.add(self.step(state.step, batches))
                state.step += 1
                is_last = state.step == self.total_steps

                # Measure: what was trained with, what was not.
                trained: dict[str, float] = {}
                validated: dict[str, float] = {}
                if state.step % cfg.log_every == 0 or is_last:
                    trained = self._training_losses()  # the only wait for the device
                self.run_log.advance(trained.get(TRAIN_LOSS))
                if self.validation and (state.step % self.val_every == 0 or is_last):
                    validated = self._validate()

                # Judge: are these weights among the best so far, and is it worth continuing?
                if monitored := trained if monitor.name == TRAIN_LOSS else validated:
                    if monitor.is_among_best(state, monitored):
                        self.snapshots.keep_best(state)
                    self.step.schedule.measured(
                        monitor.name,
                        monitored[monitor.name],
                        higher_is_better=monitor.higher_is_better,
                    )
                    if monitor.should_prune(state, monitored) and not is_last:
                        log.info("Stopping early: other trials do better (pruned).")
                        state.finished = state.pruned = True
                    elif monitor.is_out_of_patience(state):
                        failed = state.validations_without_best
                        log.info("Stopping early: no new best in %d validations.", failed)
                        state.finished = True
                if trained or validated:
                    self._record(trained, validated)

                # Save when a checkpoint is due, and before anything ends.
                state.finished |= is_last
                stopping, due = world.any(
                    stop.requested, world.is_main and self.checkpoints.due(state.step)
                )
                if state.finished or stopping or due:
                    self._save()
                if state.finished:
                    break
                if stopping:
                    stop.agree(world)
                    stop.raise_if_requested()

    def _training_losses(self) -> dict[str, float]:
        """The mean of every loss since they were last recorded.

        Raises:
            RunError: one of them is not finite.
        """
        self._require_finite_losses()
        return {f"train_{name}": mean for name, mean in self.losses.means().items()}

    def _validate(self) -> dict[str, float]:
        measures: dict[str, float] = {}
        runtime, pictures = self.built.runtime, self._pictures_due()
        with (
            generators_kept(runtime.device),  # how often one validates changes no training
            autocast(runtime.device, self.cfg.precision),
            self._explaining_out_of_memory(_OUT_OF_MEMORY_VALIDATING),
            self.step.evaluating(),
        ):
            for split, examples in self.validation.items():
                evaluation = evaluate(
                    self.step.evaluated_model,
                    self.built.objective,
                    examples,
                    self.world,
                    after_batch=self.run_log.validating,
                    seed=runtime.seed,
                    device=runtime.device,
                    draws=pictures is not None,
                )
                measures |= {f"{split}_{name}": v for name, v in evaluation.compute().items()}
                if pictures is not None and self.world.is_main:
                    evaluation.draw(pictures, split)
        if pictures is not None and self.world.is_main:
            self.run_log.show(self.state.step, pictures)
        self._train_mode()
        if not math.isfinite(measures["val_loss"]):
            self._require_finite_losses()  # more likely, the training went wrong first
            self._fail("validation loss", measures["val_loss"], self.state.step)
        return measures

    def _pictures_due(self) -> Path | None:
        """Where the pictures of this validation go; None if it is not drawn."""
        step, draw_every = self.state.step, self.built.config.draw_every
        if draw_every is None or step % (self.val_every * draw_every):
            return None
        return self.built.runtime.run_dir / "pictures" / f"step-{step:08d}"

    def _train_mode(self) -> None:
        """Put the model into training mode, except what is frozen."""
        self.built.model.train()
        keep_in_evaluation_mode(self.built.model, self.built.frozen)

    def _record(self, trained: dict[str, float], validated: dict[str, float]) -> None:
        step = self.state.step
        measures = {name: value for name, value in validated.items() if not math.isnan(value)}
        row = {"epoch": step / self.steps_per_epoch, **trained, **measures}
        if trained:
            rates = self.step.schedule.lrs(step - 1)
            row |= {lr_column(name): rate for name, rate in rates.items()}
            row |= self.gauges.read(step)
        self.run_log.record(step, row)
        if validated:
            self.run_log.line(step, {"train_loss": self.losses.recent_mean(), **validated})

    def _save(self) -> None:
        """Write a checkpoint, after checking that it is a good state.

        Raises:
            RunError: a loss or a weight is not finite.
        """
        self._require_finite_losses()
        if not all(bool(p.isfinite().all()) for p in self.built.model.parameters()):
            self._fail("largest weight", math.nan, self.state.step)
        self.state.unread = self.losses.read()
        self.snapshots.write(self.state, wandb_id=self.run_log.wandb_id)

    def _require_finite_losses(self) -> None:
        values = self.losses.read().get("loss", [])
        for index, value in enumerate(values):
            if not math.isfinite(value):
                behind = (len(values) - 1 - index) // self.step.num_losses
                self._fail("training loss", value, self.state.step - behind)

    def _fail(self, what: str, value: float, step: int) -> NoReturn:
        self.snapshots.write_best()
        good = self.checkpoints.newest()
        saved = f"the last good checkpoint is {good}" if good else "no checkpoint was due before it"
        rates = self.step.schedule.lrs(step - 1)
        lr = ", ".join(f"{r:.3g} of {name}" if name else f"{r:.3g}" for name, r in rates.items())
        raise RunError(_NON_FINITE.format(what=what, value=value, step=step, lr=lr, saved=saved))

    def _explaining_out_of_memory(
        self, text: str, ahead: int = 0
    ) -> contextlib.AbstractContextManager[None]:
        def explain(said: str) -> RunError:
            return RunError(
                text.format(
                    step=self.state.step + ahead,
                    steps=self.total_steps,
                    said=said,
                    smaller_examples=self.built.config.dm.smaller_examples,
                )
            )

        return explaining_out_of_memory(explain)
