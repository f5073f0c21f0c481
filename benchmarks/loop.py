"""The training loop against a hand-written bare loop and against Lightning, in steps per second.

    taskset -c 0 python benchmarks/loop.py                     # needs `pip install lightning`

All three train the same network on the same images for the same epochs, and validate after each.
runwright and Lightning also do what they do by default: runwright prints lines, records and writes
a checkpoint at the end; Lightning shows its bar, logs to CSV and writes checkpoints. The bare loop
does nothing else. Training is timed from the first step to the last. All take turns, each in its
own process, so that conditions are the same. Ratios are medians over the rounds, with the lowest
and the highest; the bare loop against itself shows how precise they are.

`fcn` has a hidden layer of 256, so that a step is short and its overhead shows. The bare loop and
Lightning are run with AdamW as in torch's documentation, and again with what runwright chooses by
itself, the fused AdamW ("tuned"). On a GPU the images of runwright and of the bare loop are on the
device, while Lightning's data loader copies them, as it always does; and there is one loop more,
the tuned bare one with its whole step as a CUDA graph, which is what runwright makes of it too.
"""

# Lightning is installed for this benchmark alone, so the type checker may not find it.
# pyright: reportMissingImports=false, reportUntypedBaseClass=false
# pyright: reportUnknownVariableType=false

import argparse
import contextlib
import copy
import importlib
import logging
import os
import random
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import attrs
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from runwright import Config, TorchOptimizer, compose
from runwright.device.runtime import Runtime, choose_device
from runwright.domains.vision.batch import ImageBatch
from runwright.rundir.checkpoint import Checkpoints
from runwright.training.built import Built
from runwright.training.evaluation import autocast
from runwright.training.loop import Training
from runwright.training.run_log import RunLog
from runwright.training.stop import StopRequest
from turns import Clock, in_turns

MODELS: Final = {"fcn": ["model=fcn", "model.hidden_dim=256"], "cnn": ["model=cnn"]}
PRECISIONS: Final = {"fp32": "32-true", "bf16": "bf16-mixed"}  # in Lightning's words
BATCH, VAL_BATCH, STEPS_PER_EPOCH = 64, 500, 62


@attrs.frozen
class Task:
    """What every loop does: build `config` on `device`, and train it."""

    config: Config
    device: torch.device

    @property
    def epochs(self) -> int:
        """How often to go through the training images."""
        epochs = self.config.training.epochs
        assert epochs is not None
        return epochs

    def build(self, folder: Path) -> tuple[Any, nn.Module, Any]:
        """Data, model and objective, with the same weights every time."""
        runtime = Runtime(device=self.device, seed=0, run_dir=folder)
        data: Any = self.config.dm.build(runtime)
        torch.manual_seed(0)
        model = self.config.model.build(data.dims).to(self.device)
        self._warm_up(copy.deepcopy(model), data.train.examples)
        return data, model, self.config.objective.build(data.dims, self.device)

    def _warm_up(self, model: nn.Module, images: ImageBatch) -> None:
        """Let libraries and device do their one-time work before anything is timed."""
        optimizer = self.adamw(model, tuned=True)
        for _ in range(3):
            with autocast(self.device, self.config.training.precision):
                logits = model(images.image[:BATCH])
            functional.cross_entropy(logits, images.label[:BATCH]).backward()
            optimizer.step()
            optimizer.zero_grad()

    def adamw(self, model: nn.Module, *, tuned: bool) -> torch.optim.Optimizer:
        """AdamW, plain or fused."""
        kwargs: dict[str, Any] = {"fused": True} if tuned else {}
        opt = self.config.opt
        assert isinstance(opt, TorchOptimizer)
        return torch.optim.AdamW(model.parameters(), lr=opt.lr, weight_decay=0, **kwargs)

    def schedule(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
        """The schedule of the configuration, as torch has them."""
        factor = self.config.opt.lr_factor(self.epochs * STEPS_PER_EPOCH, STEPS_PER_EPOCH)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


Loop = Callable[[Task, Clock], None]


class StepwiseLog(RunLog):
    """A log that notifies the clock of every step."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Record in this folder."""
        super().__init__(folder)
        self._clock = clock

    @override
    def advance(self, loss: float | None = None) -> None:
        super().advance(loss)
        self._clock.step()


def runwright_loop(task: Task, clock: Clock) -> None:
    """The full loop of runwright, as `run` sets it up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, model, objective = task.build(folder)
        runtime = Runtime(device=task.device, seed=0, run_dir=folder)
        built = Built(
            config=task.config, runtime=runtime, data=data, model=model, objective=objective
        )
        checkpoints = Checkpoints(folder / "checkpoints", task.config.checkpoint)
        training = Training(built, checkpoints, StepwiseLog(folder, clock))
        clock.start()
        fitted = training.run(StopRequest())
        clock.stop()
        assert fitted.steps == task.epochs * STEPS_PER_EPOCH


def bare_loop(task: Task, clock: Clock, *, tuned: bool) -> None:
    """A loop written by hand for one experiment."""
    with tempfile.TemporaryDirectory() as name:
        data, model, _ = task.build(Path(name))
    train: ImageBatch = data.train.examples
    val: ImageBatch = data.val.examples
    optimizer = task.adamw(model, tuned=tuned)
    scheduler = task.schedule(optimizer)
    in_precision = partial(autocast, task.device, task.config.training.precision)
    generator = torch.Generator(task.device).manual_seed(0)
    clock.start()
    for _ in range(task.epochs):
        order = torch.randperm(len(train), generator=generator, device=task.device)
        for i in range(STEPS_PER_EPOCH):
            index = order[BATCH * i : BATCH * (i + 1)]
            image, label = train.image[index], train.label[index]
            clock.step()
            with in_precision():
                loss = functional.cross_entropy(model(image), label)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
        model.eval()
        with torch.no_grad(), in_precision():
            correct = 0
            for i in range(0, len(val), VAL_BATCH):
                logits = model(val.image[i : i + VAL_BATCH])
                correct += int((logits.argmax(dim=-1) == val.label[i : i + VAL_BATCH]).sum())
        model.train()
    clock.stop()


def bare_graph(task: Task, clock: Clock) -> None:
    """The tuned bare loop, with its whole step captured as a CUDA graph."""
    with tempfile.TemporaryDirectory() as name:
        data, model, _ = task.build(Path(name))
    train: ImageBatch = data.train.examples
    val: ImageBatch = data.val.examples
    in_precision = partial(autocast, task.device, task.config.training.precision)
    lr = torch.zeros((), device=task.device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=lr, weight_decay=0, fused=True, capturable=True
    )
    factor = task.config.opt.lr_factor(task.epochs * STEPS_PER_EPOCH, STEPS_PER_EPOCH)
    opt = task.config.opt
    assert isinstance(opt, TorchOptimizer)
    index = torch.zeros(BATCH, dtype=torch.int64, device=task.device)

    def step() -> None:
        with in_precision():
            loss = functional.cross_entropy(model(train.image[index]), train.label[index])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    side = torch.cuda.Stream(task.device)
    side.wait_stream(torch.cuda.current_stream(task.device))
    with torch.cuda.stream(side):
        for _ in range(3):  # with a learning rate of 0
            step()
    torch.cuda.current_stream(task.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    generator = torch.Generator(task.device).manual_seed(0)
    clock.start()
    for epoch in range(task.epochs):
        order = torch.randperm(len(train), generator=generator, device=task.device)
        for i in range(STEPS_PER_EPOCH):
            index.copy_(order[BATCH * i : BATCH * (i + 1)])
            lr.fill_(opt.lr * factor(epoch * STEPS_PER_EPOCH + i))
            clock.step()
            graph.replay()
        model.eval()
        with torch.no_grad(), in_precision():
            correct = 0
            for i in range(0, len(val), VAL_BATCH):
                logits = model(val.image[i : i + VAL_BATCH])
                correct += int((logits.argmax(dim=-1) == val.label[i : i + VAL_BATCH]).sum())
        model.train()
    clock.stop()


def lightning_loop(task: Task, clock: Clock, *, tuned: bool) -> None:
    """Lightning's Trainer."""
    import lightning as lt
    from lightning.pytorch.loggers import CSVLogger

    class Timed(lt.Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            del trainer, pl_module
            clock.start()

        def on_train_batch_start(
            self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
        ) -> None:
            del trainer, pl_module, batch, batch_idx
            clock.step()

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            del trainer, pl_module
            clock.stop()

    class Classifier(lt.LightningModule):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            del batch_idx
            image, label = batch
            loss = functional.cross_entropy(self.model(image), label)
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            del batch_idx
            image, label = batch
            logits = self.model(image)
            self.log("val_loss", functional.cross_entropy(logits, label))
            self.log("val_accuracy", (logits.argmax(dim=-1) == label).float().mean())

        def configure_optimizers(self) -> Any:
            optimizer = task.adamw(self, tuned=tuned)
            schedule = {"scheduler": task.schedule(optimizer), "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": schedule}

    on_gpu = task.device.type == "cuda"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, model, _ = task.build(folder)
        train: ImageBatch = data.train.examples.to(torch.device("cpu"))
        val: ImageBatch = data.val.examples.to(torch.device("cpu"))
        trainer = lt.Trainer(
            max_epochs=task.epochs,
            accelerator="gpu" if on_gpu else "cpu",
            devices=[task.device.index] if on_gpu else 1,
            precision=cast("Any", PRECISIONS[task.config.training.precision]),
            logger=CSVLogger(folder),
            num_sanity_val_steps=0,
            default_root_dir=folder,
            callbacks=[Timed()],
        )
        trainer.fit(
            Classifier(model),
            DataLoader(
                TensorDataset(train.image, train.label),
                batch_size=BATCH,
                shuffle=True,
                drop_last=True,
                pin_memory=on_gpu,
            ),
            DataLoader(
                TensorDataset(val.image, val.label), batch_size=VAL_BATCH, pin_memory=on_gpu
            ),
        )


SIDES: Final[dict[str, Loop]] = {
    "runwright": runwright_loop,
    "bare loop": partial(bare_loop, tuned=False),
    "bare loop, tuned": partial(bare_loop, tuned=True),
    "the same once more": partial(bare_loop, tuned=True),
    "Lightning": partial(lightning_loop, tuned=False),
    "Lightning, tuned": partial(lightning_loop, tuned=True),
}
TARGETS: Final = {"bare loop, tuned": 0.97, "Lightning": 1.4}


def quietly(loop: Loop, task: Task, clock: Clock) -> None:
    """Run a loop without output; its errors are reported outside."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        loop(task, clock)


def compare(task: Task, rounds: int) -> dict[str, list[float]]:
    """The seconds that each side took, one number per round."""
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for number in range(rounds):
        # Who comes after whom differs from round to round: it matters for the caches.
        names = random.Random(number).sample(list(SIDES), len(SIDES))
        measured = in_turns({name: partial(quietly, SIDES[name], task) for name in names})
        for name, value in measured.items():
            seconds[name].append(value)
    return seconds


def ratio(numerators: list[float], denominators: list[float]) -> str:
    """The median of the ratios, the lowest and the highest."""
    ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--model", choices=MODELS, help="only this one")
    parser.add_argument("--gpu", type=int, default=-1, help="index of a CUDA device")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    importlib.import_module("lightning.pytorch")  # which sets the level of its log
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lines = logging.FileHandler(os.devnull)
    logging.getLogger("runwright").addHandler(lines)
    logging.getLogger("runwright").setLevel(logging.INFO)
    for model in [args.model] if args.model else MODELS:
        steps = args.epochs * STEPS_PER_EPOCH
        options = [
            f"gpu={args.gpu}",
            f"training.epochs={args.epochs}",
            # A training as short as this one is saved at its end only; by the clock on the wall,
            # which does not stand still while others have their turn, it would be more often.
            f"checkpoint.save_every={steps}",
            f"training.precision={args.precision}",
        ]
        config = compose(["dm=cmnist", *MODELS[model], *options])
        task = Task(config, choose_device(args.gpu))
        if task.device.type == "cuda":
            SIDES["bare graph"] = bare_graph
        seconds = compare(task, args.rounds)
        ours, again = seconds.pop("runwright"), seconds.pop("the same once more")
        print(f"{model}: runwright {steps / statistics.median(ours):.0f} steps/s; it is this many")
        print("times as fast as (in brackets the lowest and the highest of the rounds)")
        for side, theirs in seconds.items():
            rate = steps / statistics.median(theirs)
            is_aim = side in TARGETS and args.gpu < 0 and args.precision == "fp32"
            target = f", target ≥ {TARGETS[side]}" if is_aim else ""
            print(f"  {side} ({rate:.0f} steps/s): {ratio(theirs, ours)}{target}")
        noise = ratio(again, seconds["bare loop, tuned"])
        print(f"  for comparison, the tuned bare loop against itself: {noise}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
