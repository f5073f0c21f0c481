"""What a user is told when memory runs out, each time by really running out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from conftest import Run
from runwright import Config, RunError, UserError, compose
from runwright.training.memory import explaining_out_of_memory
from toy_domain import SetBatch, SquaredDistance
from training.test_loop import SETS

MUCH = 2**50  # numbers, of four or eight bytes


def test_a_model_larger_than_the_memory_is_the_users_mistake(run_main: Run) -> None:
    done = run_main("gpu=-1", f"model.hidden_dim={10**11}")
    assert done.returncode == 2
    assert done.stderr.startswith("model.num_hidden=1 with layers of 100,000,000,000 on images of ")
    assert "makes 236,200,000,000,000 weights, 859.3 TiB. Use fewer" in done.stderr
    assert "Traceback" not in done.stderr


def test_data_larger_than_the_memory_are_the_users_mistake(tmp_path: Path) -> None:
    config = compose(SETS)
    object.__setattr__(config.dm, "build", lambda _: np.empty(MUCH))  # pyright: ignore[reportUnknownLambdaType,reportUnknownArgumentType]
    with pytest.raises(UserError) as caught:
        config.run(tmp_path / "run")
    said = "dm=toy_sets does not fit into memory with these options: Unable to allocate 8.00 PiB"
    assert str(caught.value).startswith(said)


class Greedy(SquaredDistance):
    """Asks for four pebibytes in its third batch, and whenever it measures."""

    batches = 0

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, torch.Tensor]:
        self.batches += 1
        if self.batches == 3 or not model.training:
            torch.empty(MUCH)
        return super().losses(model, batch)


def greedy(*options: str) -> Config:
    config = compose(list(options))
    object.__setattr__(config.objective, "build", lambda *_: Greedy())  # pyright: ignore[reportUnknownLambdaType,reportUnknownArgumentType]
    return config


def test_a_training_that_runs_out_of_memory_says_when_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        greedy(*SETS).run(tmp_path / "run")
    said = str(caught.value)
    assert said.startswith(
        "Out of memory in step 3 of 80: DefaultCPUAllocator: can't allocate memory: "
    )
    assert f"you tried to allocate {4 * MUCH} bytes" in said
    assert "training.accumulate_grad_batches" in said


def test_a_validation_that_runs_out_of_memory_is_told_from_a_step(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        greedy(*SETS, "training.val_every=2").run(tmp_path / "run")
    said = str(caught.value)
    assert said.startswith("Out of memory in the validation after step 2 of 80: ")
    assert said.endswith("a smaller model, smaller examples, or another device (gpu).")
    assert "batch" not in said


def test_a_measurement_that_runs_out_of_memory_says_so(tmp_path: Path) -> None:
    compose([*SETS, "training.epochs=1"]).run(tmp_path / "run")
    with pytest.raises(RunError, match="Out of memory, stage=validate: "):
        greedy(*SETS, "training.epochs=1", "stage=validate").run(tmp_path / "run")


def test_what_makes_the_examples_smaller_is_what_the_data_say(tmp_path: Path) -> None:
    class Hungry(nn.Flatten):
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # its name there
            if not self.training:
                torch.empty(MUCH)
            return super().forward(input)

    config = compose(["dm=cmnist", "model=fcn", "gpu=-1", "pictures=false", "training.max_steps=1"])
    model = nn.Sequential(Hungry(), nn.Linear(3 * 28 * 28, 10))
    object.__setattr__(config.model, "build", lambda _: model)  # pyright: ignore[reportUnknownLambdaType,reportUnknownArgumentType]
    with pytest.raises(RunError, match=r"smaller images \(dm\.default_res\), or another device"):
        config.run(tmp_path / "run")


ON_A_GPU = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB of which "
    "1 GiB is free. Process 7 has 7 GiB memory in use"
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError(f"{ON_A_GPU}. Of the allocated memory 1 GiB is …"), ON_A_GPU),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), None),
        (MemoryError(), "the machine has no more"),
    ],
)
def test_what_is_said_of_memory_is_handed_on(error: Exception, expected: str | None) -> None:
    with pytest.raises(KeyError) as caught, explaining_out_of_memory(KeyError):
        raise error
    assert caught.value.args == (expected or str(error),)
    assert caught.value.__cause__ is error


def test_another_error_of_torch_passes() -> None:
    bug = RuntimeError(
        "The tensor has a non-zero number of elements, but its data is not allocated"
    )
    with pytest.raises(RuntimeError) as caught, explaining_out_of_memory(KeyError):
        raise bug
    assert caught.value is bug
