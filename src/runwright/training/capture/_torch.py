"""The private parts of torch that are used: what it leaves behind when a capture fails.

Where a capture was made invalid, `torch.cuda.graph` raises before it has told the allocator that
the capture is over. From then on no memory is given back that several streams have used, such as
that of every batch which was copied on a stream of its own.
"""

# pyright: reportPrivateUsage=false

import torch
from torch._C import _cuda_endAllocateToPool, _cuda_releasePool


def end_allocation(device: torch.device, pool: tuple[int, int]) -> None:
    """Tell the allocator that a capture is over, unless it knows.

    Args:
        device: the device of the capture.
        pool: the memory that it allocated from.
    """
    try:
        _cuda_endAllocateToPool(device.index or 0, pool)
    except RuntimeError:  # it knows; the graph gives the memory back
        return
    _cuda_releasePool(device.index or 0, pool)
