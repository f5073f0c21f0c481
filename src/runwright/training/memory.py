"""What a user is told when the memory of the device or the machine is too small."""

import contextlib
import re
from collections.abc import Callable, Generator
from typing import Final

from runwright.config import Config
from runwright.errors import RunError

_TORCH_SAYS: Final = re.compile(
    "out of memory|(tried|unable) to allocate|can't allocate memory|not enough memory|ALLOC_FAILED"
    "|Storage size calculation overflowed",
    re.IGNORECASE,
)
_WHERE_IN_TORCH: Final = re.compile(r"^\[enforce fail [^]]*\] [^.]*\. ")

# What follows in torch's text on a GPU: its memory pools, and how to configure them.
OF_THE_ALLOCATOR: Final = " Of the allocated memory"


@contextlib.contextmanager
def explaining_out_of_memory(explain: Callable[[str], Exception]) -> Generator[None]:
    """Within this context, a lack of memory becomes the error that `explain` makes.

    Args:
        explain: receives what torch or NumPy says about it, without the final full stop.

    Raises:
        Exception: what `explain` made, instead of a MemoryError, or of a RuntimeError in which
            torch says that it could not allocate memory. Any other error passes through.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        first = (str(error) or "the machine has no more").splitlines()[0]
        if isinstance(error, RuntimeError) and not _TORCH_SAYS.search(first):
            raise
        said = _WHERE_IN_TORCH.sub("", first).split(OF_THE_ALLOCATOR)[0]
        raise explain(said.rstrip(". ")) from error


def explaining_small_memory(what: str, config: Config) -> contextlib.AbstractContextManager[None]:
    """Within this context, a lack of memory becomes an error that says what helps."""

    def explain(said: str) -> RunError:
        return RunError(
            f"Out of memory, {what}: {said}. Use training.precision=bf16, a smaller model, "
            f"{config.dm.smaller_examples}, or another device (gpu)."
        )

    return explaining_out_of_memory(explain)
