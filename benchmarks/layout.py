"""Time of a step with channels-last kernels and with torch's own layout.

    taskset -c 1 python benchmarks/layout.py

It prints how many times as long a step takes with (O, H, W, I) as with torch's (O, I, H, W), on the
CPU: below 1, channels-last is faster. Both take turns; medians over the rounds, with the lowest and
the highest.
"""

import argparse
import statistics
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch.nn import functional

from runwright import Config, compose
from runwright.device.runtime import Runtime
from turns import Clock, in_turns

CPU: Final = torch.device("cpu")
STEPS: Final = 40
# Options, and images a batch: of large networks few, so that a step takes half a second at most.
NETWORKS: Final = {
    "cnn, 28 pixels": (["model=cnn"], 64),
    "cnn, 112 pixels": (["model=cnn", "dm.default_res=112"], 8),
    "resnet18, 28 pixels": (["model=resnet", "model.depth=18"], 16),
}


def steps(
    config: Config, batch: int, layout: torch.memory_format, train: bool, clock: Clock
) -> None:
    """Train, or only measure, for some steps."""
    data: Any = config.dm.build(Runtime(device=CPU, seed=0, run_dir=Path()))
    model = cast("Any", config.model.build(data.dims)).to(memory_format=layout).train(train)
    (optimizer,) = config.opt.optimizers(model).values()
    examples = data.train.examples
    for number in range(-3, STEPS):  # the first only warm up
        if number == 0:
            clock.start()
        if number >= 0:
            clock.step()
        image, label = (v[batch * number :][:batch] for v in (examples.image, examples.label))
        with torch.set_grad_enabled(train):
            loss = functional.cross_entropy(model(image), label)
        if train:
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    clock.stop()


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, (options, batch) in NETWORKS.items():
        config = compose(["dm=cmnist", "gpu=-1", *options])
        for train in (True, False):
            run = partial(steps, config, batch)
            sides = {
                "last": partial(run, torch.channels_last, train),
                "torch": partial(run, torch.contiguous_format, train),
            }
            measured = [in_turns(sides) for _ in range(args.rounds)]
            ratios = [seconds["last"] / seconds["torch"] for seconds in measured]
            what = "training" if train else "measuring"
            spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{name}, {what}: {statistics.median(ratios):.2f} {spread}", flush=True)


if __name__ == "__main__":
    main()
