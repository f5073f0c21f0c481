"""How a run reports its progress: lines or a bar, `metrics.csv`, W&B, TensorBoard."""

import logging
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from runwright.training.metrics_csv import MetricsCsv
from runwright.training.notebook import NotebookView, is_notebook
from runwright.training.progress_bar import progress_bar
from runwright.training.signs_of_life import SignsOfLife, duration

if TYPE_CHECKING:
    from tqdm import tqdm

    from runwright.training.wandb_log import WandbLog

log = logging.getLogger(__name__)


def lr_column(optimizer: str) -> str:
    """The column of an optimiser's learning rate; one that is alone has no name."""
    return f"lr_{optimizer}" if optimizer else "lr"


class RunLog:
    """Everything that a run records while it trains."""

    def __init__(
        self,
        run_dir: Path,
        *,
        wandb_log: "WandbLog | None" = None,
        tensorboard: bool = False,
        draws: bool = False,
    ) -> None:
        """Record in `run_dir`, from `begin` on, and in W&B and TensorBoard if they are given.

        Args:
            run_dir: the directory of the run.
            wandb_log: W&B's record.
            tensorboard: whether to write TensorBoard's files.
            draws: whether to draw the learning curves where there is a notebook to draw in.
        """
        self._run_dir = run_dir
        self._wandb = wandb_log
        self._writes_tensorboard = tensorboard
        self._tensorboard: Any = None
        self._draws = draws
        self._bar: tqdm[Any] | None = None
        self._notebook: NotebookView | None = None
        self._signs: SignsOfLife | None = None
        self._first_step = self._step = self._said_step = self._total_steps = 0
        self._loss: float | None = None
        self._doing: str | None = None
        self._started = self._since = time.monotonic()

    @property
    def wandb_id(self) -> str | None:
        """W&B's id of the run, if W&B records it."""
        return None if self._wandb is None else self._wandb.id

    def begin(
        self,
        *,
        step: int,
        total_steps: int,
        log_every: int,
        validation: Collection[str] = (),
        optimizers: Iterable[str] = ("",),
    ) -> None:
        """Start or continue a training.

        Args:
            step: how many steps are done.
            total_steps: how many there will be.
            log_every: how many steps there are from one row to the next.
            validation: the names of the validation splits.
            optimizers: the names of the optimisers.
        """
        self.metrics = MetricsCsv(self._run_dir / "metrics.csv")
        if self._writes_tensorboard:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._tensorboard = SummaryWriter(self._run_dir / "tensorboard")
        last = self.metrics.truncate(step, ["epoch", *map(lr_column, optimizers)])
        if step - last > log_every:
            log.warning("%s has no rows between step %d and %d.", self.metrics.path, last, step)
        self._total_steps = total_steps
        self._first_step = self._step = self._said_step = step
        self._started = self._since = time.monotonic()
        if is_notebook():
            curves = validation if self._draws else None
            self._notebook = NotebookView(self.metrics.path, total=total_steps, curves=curves)
            return
        if sys.stderr is not None and sys.stderr.isatty():
            self._bar = progress_bar(total=total_steps, initial=step)
        self._signs = SignsOfLife(self._give_sign)

    def record(self, step: int, measures: Mapping[str, float]) -> None:
        """Record what was measured at a step."""
        self.metrics.append({"step": step, **measures})
        if self._wandb is not None:
            self._wandb.record(step, measures)
        if self._tensorboard is not None:
            for name, value in measures.items():
                self._tensorboard.add_scalar(name, value, step)
        if self._notebook is not None:
            self._notebook.recorded()

    def show(self, step: int, folder: Path) -> None:
        """Show the pictures of a validation, the PNG files in a folder."""
        pictures = {file.stem: file for file in sorted(folder.glob("*.png"))}
        if self._wandb is not None:
            self._wandb.show(step, pictures)
        if self._tensorboard is not None:
            from matplotlib.image import imread

            for name, file in pictures.items():
                self._tensorboard.add_image(name, imread(file), step, dataformats="HWC")

    def finish(self, options: Mapping[str, Any], value: float, weights: Path) -> None:
        """Record what was trained: its options, its result, its best weights.

        Args:
            options: key → value.
            value: the best value of the monitored measure.
            weights: the file of the best weights.
        """
        if self._tensorboard is not None:
            shown = {
                key: one if isinstance(one, bool | int | float | str) else str(one)
                for key, one in options.items()
            }
            self._tensorboard.add_hparams(shown, {"best": value}, run_name=".")
        if self._wandb is not None:
            self._wandb.finish(weights)

    def advance(self, loss: float | None = None) -> None:
        """A step is done.

        Args:
            loss: the training loss, if it was read.
        """
        self._step += 1
        self._doing, self._since = None, time.monotonic()
        self._loss = self._loss if loss is None else loss
        if self._bar is not None:
            if loss is not None:
                self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            self._bar.update()
        elif self._notebook is not None:
            self._notebook.advance(self._step, self._so_far)

    def doing(self, what: str) -> None:
        """Something other than a step has begun, or still goes on."""
        if what != self._doing:
            self._doing, self._since = what, time.monotonic()

    def validating(self) -> None:
        """A validation has begun, or a batch of it is done."""
        self.doing("validating")

    def line(self, step: int, measures: Mapping[str, float]) -> None:
        """Print a line with the step, some measures, the rate and the time left."""
        self._said_step, self._doing, self._since = step, None, time.monotonic()
        if self._signs is not None:
            self._signs.said()
        log.info("%s", self._described(step, measures))

    def _give_sign(self) -> None:
        """Show that the run is alive; called in another thread, while a step takes its time."""
        if self._bar is not None:
            self._bar.refresh()  # its clock
        elif self._doing is None and self._step > self._said_step:
            self._said_step = self._step
            log.info("%s", self._so_far())
        else:
            step, total = self._step, self._total_steps
            doing = self._doing or (f"in step {step + 1}" if step < total else "finishing")
            for_now = duration(time.monotonic() - self._since)
            log.info("step %d/%d  %s (%s so far)", step, total, doing, for_now)

    def _latest(self) -> dict[str, float]:
        return {} if self._loss is None else {"train_loss": self._loss}

    def _so_far(self) -> str:
        return self._described(self._step, self._latest())

    def _described(self, step: int, measures: Mapping[str, float]) -> str:
        rate = (step - self._first_step) / max(1e-9, time.monotonic() - self._started)
        shown = [f"{name} {value:.4g}" for name, value in measures.items()]
        left = [f"{duration((self._total_steps - step) / rate)} left"] if rate else []
        parts = [f"step {step}/{self._total_steps}", *shown, f"{rate:.3g} steps/s", *left]
        return "  ".join(parts)

    def close(self, *, failed: bool = False) -> None:
        """Close the records."""
        if self._signs is not None:
            self._signs.close()
            self._signs = None
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._notebook is not None:
            self._notebook.close()
            self._notebook = None
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.close(failed=failed)


class NoLog(RunLog):
    """Records nothing: for all processes but the main one."""

    @override
    def begin(
        self,
        *,
        step: int,
        total_steps: int,
        log_every: int,
        validation: Collection[str] = (),
        optimizers: Iterable[str] = ("",),
    ) -> None:
        pass

    @override
    def record(self, step: int, measures: Mapping[str, float]) -> None:
        pass

    @override
    def show(self, step: int, folder: Path) -> None:
        pass

    @override
    def finish(self, options: Mapping[str, Any], value: float, weights: Path) -> None:
        pass

    @override
    def line(self, step: int, measures: Mapping[str, float]) -> None:
        pass
