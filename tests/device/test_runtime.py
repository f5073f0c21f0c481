"""Where a run computes."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import last_of_each
from runwright import UserError, compose
from runwright.device.runtime import choose_device
from runwright.rundir.tensor_files import read_weights
from training.test_loop import SETS


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch says of its devices on a machine that has two."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: ("A100", "L4")[number])  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_does_not_exist_is_refused_with_those_that_do() -> None:
    devices = (
        r"gpu=2 does not exist\. CUDA devices here: 0 \(A100\), 1 \(L4\)\. gpu=-1 is the CPU\."
    )
    with pytest.raises(UserError, match=devices):
        choose_device(2)
    assert choose_device(1) == torch.device("cuda", 1)


@pytest.mark.usefixtures("two_gpus")
def test_minus_one_is_the_cpu_where_there_are_others() -> None:
    assert choose_device(-1) == torch.device("cpu")


def draws() -> list[float]:
    return [random.random(), float(np.random.random()), float(torch.rand(()))]


def test_a_run_leaves_random_generators_and_torchs_settings_as_it_found_them(
    tmp_path: Path,
) -> None:
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    undisturbed = draws()
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    short = last_of_each(*SETS, "training.max_steps=2")
    compose(
        [*short, "deterministic=true", "training.float32_precision=medium"],
    ).run(tmp_path / "other")
    assert draws() == undisturbed
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_run_does_not_depend_on_the_one_before_it(tmp_path: Path) -> None:
    config = compose(last_of_each(*SETS, "training.max_steps=10"))
    config.run(tmp_path / "first")
    compose([*SETS, "seed=5", "training.max_steps=3", "training.ema_decay=0.5"]).run(tmp_path / "b")
    config.run(tmp_path / "second")
    first, second = (
        read_weights(tmp_path / name / "checkpoints" / "last.safetensors")
        for name in ("first", "second")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
