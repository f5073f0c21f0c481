"""Where a run computes."""

import pytest
import torch

from runwright import UserError
from runwright.runtime import choose_device


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
