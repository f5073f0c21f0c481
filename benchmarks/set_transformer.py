"""Time of a training step of `state_sm`, of transformers' blocks in it, and of the original.

    taskset -c 1 python benchmarks/set_transformer.py          # needs `pip install transformers`
    taskset -c 1 python benchmarks/set_transformer.py --arc-state PYTHON

A step is the forward pass, the energy distance, the backward pass and AdamW, for 16 sets of 128
cells of 2,000 genes, with perturbations of 5,120 numbers; eager, on one thread. The first peer has
our encoders and heads, and between them the blocks of `LlamaModel`, with all cells at position 0
and visible to each other. The second is `state_sm` of arc-state, which the Python that is named has
installed. They take turns, a step each. Times are those of the processor, which do not depend on
what else it does; ratios are those of neighbouring steps, their median with the lowest and highest.
"""

# transformers is installed for tests and benchmarks alone, and has types only in part.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from typing_extensions import override

from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.llama import LlamaBackbone
from runwright.domains.perturbation.llama_blocks import from_hugging_face
from runwright.domains.perturbation.pertsets import StateSmallFactory
from runwright.domains.perturbation.set_losses import energy_distance
from runwright.domains.perturbation.state_network import StateNetwork

SETS: Final = 16
CELLS: Final = 128
DIMS: Final = PerturbationDims(features=2000, perturbation_features=5120)


class TheirBlocks(nn.Module):
    """The blocks of transformers as a backbone."""

    def __init__(self, hidden_dim: int) -> None:
        """Build them with the options of `state_sm`."""
        from transformers import LlamaConfig, LlamaModel

        super().__init__()
        options = LlamaBackbone()
        self.model = LlamaModel(
            LlamaConfig(
                vocab_size=3,
                hidden_size=hidden_dim,
                intermediate_size=options.intermediate_size,
                num_hidden_layers=options.num_hidden_layers,
                num_attention_heads=options.num_attention_heads,
                num_key_value_heads=options.num_key_value_heads,
                rms_norm_eps=options.layer_norm_eps,
            )
        )

    @override
    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Map tokens (B, S, H) to (B, S, H); there is no padding."""
        assert mask is None
        count, size, _ = tokens.shape
        return self.model(
            inputs_embeds=tokens,
            attention_mask=tokens.new_zeros(count, 1, size, size),
            position_ids=torch.zeros(count, size, dtype=torch.int64),
            use_cache=False,
        ).last_hidden_state


def training_step(network: StateNetwork) -> Callable[[], float]:
    """A step of the training, which returns its loss."""
    generator = torch.Generator().manual_seed(0)
    basal = torch.rand(SETS, CELLS, DIMS.features, generator=generator)
    cells = torch.rand(SETS, CELLS, DIMS.features, generator=generator)
    perturbation = torch.randn(SETS, DIMS.perturbation_features, generator=generator)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> float:
        loss = energy_distance(network(basal, perturbation).cells, cells).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def timed(step: Callable[[], float]) -> Callable[[], float]:
    """Do a step, and return the seconds that it took."""

    def seconds() -> float:
        start = time.process_time()
        step()
        return time.process_time() - start

    return seconds


def arc_state(python: str) -> Callable[[], float]:
    """Let another process do a step of the original, and return the seconds that it took."""
    script = Path(__file__).with_name("arc_state_step.py")
    process = subprocess.Popen(
        [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked, said = process.stdin, process.stdout
    if said.readline() != "ready\n":
        raise SystemExit(f"{python} could not build the original.")

    def seconds() -> float:
        print(file=asked, flush=True)
        return float(said.readline())

    return seconds


def main() -> None:
    """Print the seconds of a step of each, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--arc-state", metavar="PYTHON", help="a Python that has arc-state")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    factory: Any = StateSmallFactory
    ours = factory().build(DIMS)
    theirs = factory().build(DIMS)
    theirs.backbone = TheirBlocks(factory().hidden_dim)
    ours.load_state_dict(
        {n: w for n, w in theirs.state_dict().items() if not n.startswith("backbone.")}
        | {
            f"backbone.{name}": weight
            for name, weight in from_hugging_face(theirs.backbone.model.state_dict()).items()
        }
    )
    # With dropout off, both begin with the same losses: it is the same network.
    losses = [[training_step(one.eval())() for _ in range(2)] for one in (ours, theirs)]
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=1e-4, atol=0)
    sides = {
        "runwright": timed(training_step(ours.train())),
        "transformers": timed(training_step(theirs.train())),
    }
    if args.arc_state is not None:
        sides["arc-state"] = arc_state(args.arc_state)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-1, args.rounds):  # the first only warms up
        for name, step in sides.items():
            took = step()
            if number >= 0:
                seconds[name].append(took)
    for name, all_of_them in seconds.items():
        ratios = [
            other / mine for other, mine in zip(all_of_them, seconds["runwright"], strict=True)
        ]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name}: {statistics.median(all_of_them):.2f} s a step, {spread} × runwright's")
    print(f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
