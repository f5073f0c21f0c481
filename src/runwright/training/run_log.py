"""How a run reports its progress: lines or a bar, `metrics.csv`, W&B, TensorBoard."""

import logging
import math
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from runwright.training.metrics_csv import MetricsCsv
from runwright.training.notebook import NotebookView, is_notebook
from runwright.training.progress_bar import progress_bar

if TYPE_CHECKING:
    from tqdm import tqdm

    from runwright.training.wandb_log import WandbLog

log = logging.getLogger(__name__)

# Without a terminal, a line of progress appears at least this often.
_SECONDS_BETWEEN_LINES = 30.0


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
        self._step = self._total_steps = 0
        self._loss: float | None = None
        self._started = self._last_line = time.monotonic()
        self._first_step = 0

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
        self._first_step = self._step = step
        self._started = self._last_line = time.monotonic()
        if is_notebook():
            curves = validation if self._draws else None
            self._notebook = NotebookView(self.metrics.path, total=total_steps, curves=curves)
        elif sys.stderr is not None and sys.stderr.isatty():
            self._bar = progress_bar(total=total_steps, initial=step)

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
        """A step is done: advance the bar, or print a line if there was none for a while.

        Args:
            loss: the training loss, if it was read.
        """
        self._step += 1
        self._loss = self._loss if loss is None else loss
        if self._bar is not None:
            if loss is not None:
                self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            self._bar.update()
        elif self._notebook is not None:
            self._notebook.advance(self._step, self._so_far)
        elif self._is_silent():
            self.line(self._step, self._latest())

    def validating(self) -> None:
        """A validation batch is done: print a line if there was none for a while."""
        if self._bar is None and self._notebook is None and self._is_silent():
            self._last_line = time.monotonic()
            log.info("step %d/%d  validating", self._step, self._total_steps)

    def _is_silent(self) -> bool:
        return time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES

    def line(self, step: int, measures: Mapping[str, float]) -> None:
        """Print a line with the step, some measures, the rate and the time left."""
        self._last_line = time.monotonic()
        log.info("%s", self._described(step, measures))

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
    def advance(self, loss: float | None = None) -> None:
        pass

    @override
    def validating(self) -> None:
        pass

    @override
    def line(self, step: int, measures: Mapping[str, float]) -> None:
        pass


def duration(seconds: float) -> str:
    """A time as people say it: "45 s", "3 min 20 s", "5 h 12 min", "2 d 3 h"."""
    if not math.isfinite(seconds):
        return "unknown time"
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
