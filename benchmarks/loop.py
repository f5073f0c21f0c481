"""The training loop against a hand-written bare loop and against Lightning, in steps a second.

    taskset -c 0 python benchmarks/loop.py                     # needs `pip install lightning`

All three train the same network on the same images for the same epochs, and validate after each.
runwright and Lightning do besides what they do by default: runwright prints lines, records and
writes checkpoints; Lightning shows its bar, logs to CSV and writes checkpoints. The bare loop does
nothing else. Timed is the training from the first step to the last, in turn in one process on one
thread; ratios are medians over the rounds.

`fcn` has a hidden layer of 256, so that a step is short and what surrounds it shows. The bare loop
and Lightning get network and optimiser as their documentation writes them: contiguous weights,
AdamW as it comes; and once more with what runwright chooses by itself: kernels laid out
channels-last and the fused AdamW ("tuned").
"""

# Lightning is installed for this benchmark alone, so the type checker may not find it.
# pyright: reportMissingImports=false, reportUntypedBaseClass=false
# pyright: reportUnknownVariableType=false

import argparse
import contextlib
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from runwright import Config, compose
from runwright.checkpoint import Checkpoints
from runwright.logging import RunLog
from runwright.loop import Training
from runwright.runtime import Runtime
from runwright.signals import StopRequest

CPU = torch.device("cpu")
MODELS = {"fcn": ["model=fcn", "model.hidden_dim=256"], "cnn": ["model=cnn"]}

if TYPE_CHECKING:
    from runwright.vision.batch import ImageBatch

Timed = Callable[[Config, int], float]


def build(config: Config, folder: Path) -> tuple[Any, nn.Module, Any]:
    """Data, model and objective of a configuration, with the same weights every time."""
    data = config.dm.build(Runtime(device=CPU, seed=0, run_dir=folder))
    torch.manual_seed(0)
    model = config.model.build(data.dims)
    return data, model, config.objective.build(data.dims, CPU)


def runwright_loop(config: Config, epochs: int) -> float:
    """Steps a second of the full loop."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, model, objective = build(config, folder)
        training = Training(
            model=model,
            objective=objective,
            data=data,
            opt=config.opt,
            cfg=config.training,
            checkpoints=Checkpoints(folder / "checkpoints", config.checkpoint),
            run_log=RunLog(folder),
            device=CPU,
        )
        started = time.perf_counter()
        fitted = training.run(StopRequest())
        assert fitted.steps == epochs * 62
        return fitted.steps / (time.perf_counter() - started)


def adamw(model: nn.Module, config: Config, *, tuned: bool) -> torch.optim.Optimizer:
    """AdamW as it comes, or fused."""
    kwargs: dict[str, Any] = {"fused": True} if tuned else {}
    return torch.optim.AdamW(model.parameters(), lr=config.opt.lr, weight_decay=0, **kwargs)


def plain(model: nn.Module) -> nn.Module:
    """The network with its weights laid out as torch does by default."""
    return cast("Any", model).to(memory_format=torch.contiguous_format)


def bare_loop(config: Config, epochs: int, *, tuned: bool) -> float:
    """Steps a second of a loop as one writes it by hand for one experiment."""
    with tempfile.TemporaryDirectory() as name:
        data, model, _ = build(config, Path(name))
    train: ImageBatch = data.train.examples
    val: ImageBatch = data.val.examples
    model = model if tuned else plain(model)
    optimizer = adamw(model, config, tuned=tuned)
    factor = config.opt.lr_factor(epochs * 62)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    generator = torch.Generator().manual_seed(0)
    started = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(train), generator=generator)
        for i in range(62):
            index = order[64 * i : 64 * i + 64]
            loss = functional.cross_entropy(model(train.image[index]), train.label[index])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
        model.eval()
        with torch.no_grad():
            correct = 0
            for i in range(0, len(val), 500):
                logits = model(val.image[i : i + 500])
                correct += int((logits.argmax(dim=-1) == val.label[i : i + 500]).sum())
        model.train()
    return 62 * epochs / (time.perf_counter() - started)


def lightning_loop(config: Config, epochs: int, *, tuned: bool) -> float:
    """Steps a second of Lightning's Trainer."""
    import lightning as lt
    from lightning.pytorch.loggers import CSVLogger

    class Clock(lt.Callback):
        started = ended = 0.0

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            del trainer, pl_module
            self.started = time.perf_counter()

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            del trainer, pl_module
            self.ended = time.perf_counter()

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
            optimizer = adamw(self, config, tuned=tuned)
            factor = config.opt.lr_factor(epochs * 62)
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
            }

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, model, _ = build(config, folder)
        train: ImageBatch = data.train.examples
        val: ImageBatch = data.val.examples
        clock = Clock()
        trainer = lt.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=CSVLogger(folder),
            num_sanity_val_steps=0,
            default_root_dir=folder,
            callbacks=[clock],
        )
        trainer.fit(
            Classifier(model if tuned else plain(model)),
            DataLoader(
                TensorDataset(train.image, train.label), batch_size=64, shuffle=True, drop_last=True
            ),
            DataLoader(TensorDataset(val.image, val.label), batch_size=500),
        )
        return 62 * epochs / (clock.ended - clock.started)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--model", choices=MODELS, help="only this one")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lines = logging.FileHandler(os.devnull)
    logging.getLogger("runwright").addHandler(lines)
    logging.getLogger("runwright").setLevel(logging.INFO)
    sides: dict[str, Timed] = {
        "runwright": runwright_loop,
        "bare loop": partial(bare_loop, tuned=False),
        "bare loop, tuned": partial(bare_loop, tuned=True),
        "Lightning": partial(lightning_loop, tuned=False),
        "Lightning, tuned": partial(lightning_loop, tuned=True),
    }
    targets = {"bare loop, tuned": 0.97, "Lightning": 1.4}
    for model in [args.model] if args.model else MODELS:
        config = compose(["dm=cmnist", *MODELS[model], "gpu=-1", f"training.epochs={args.epochs}"])
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(args.rounds + 1):
            # Each begins a round in turn, and the first round only warms up.
            order = list(sides)[number % len(sides) :] + list(sides)[: number % len(sides)]
            for side in order:
                with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
                    rate = sides[side](config, args.epochs)
                if number:
                    rates[side].append(rate)
        ours = rates.pop("runwright")
        print(f"{model}: runwright {statistics.median(ours):.0f} steps/s")
        for side, theirs in rates.items():
            ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
            shown = f" (target ≥ {targets[side]})" if side in targets else ""
            print(f"  {side} {statistics.median(theirs):.0f} steps/s, ratio {ratio:.2f}{shown}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
