"""What recording on a GPU relies on; the recording itself is tested where there is one."""

import pytest
import torch

from runwright.training.capture import _torch  # pyright: ignore[reportPrivateUsage]


@pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="torch is built without CUDA")
@pytest.mark.parametrize("name", ["_cuda_endAllocateToPool", "_cuda_releasePool"])
def test_the_private_parts_of_torch_are_what_they_were(name: str) -> None:
    takes = str(getattr(_torch, name).__doc__)
    assert takes.startswith(f"{name}(arg0: ")
    assert ", arg1: tuple[" in takes.lower()  # Tuple in older versions
    assert "arg2" not in takes
