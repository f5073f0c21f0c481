"""What is found out about the objects of a step, beyond what a tape on a CPU can show."""

import torch

from runwright.training.capture.held import Held


class Counts:
    def __init__(self) -> None:
        self.steps = torch.zeros((), dtype=torch.int64)
        self.weight = torch.ones(3, dtype=torch.bfloat16)


def test_a_tensor_that_is_changed_in_main_memory_is_python_s() -> None:
    for device, found in (
        ("cpu", []),
        ("meta", ["every step changes it.steps, which is not on the device"]),
    ):
        it = Counts()
        before = Held({"it": it}, torch.device(device))
        it.steps += 1
        assert [*before.moved(Held({"it": it}, torch.device(device)))] == found
