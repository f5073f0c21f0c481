"""What a user is told when the memory of the device, or of the machine, is too small."""

import contextlib
import re
from collections.abc import Callable, Generator

_WHERE_IN_TORCH = re.compile(r"^\[enforce fail [^]]*\] [^.]*\. ")
_TORCH_SAYS = re.compile("allocate|out of memory|Storage size")


@contextlib.contextmanager
def telling_of_shortage(tell: Callable[[str], Exception]) -> Generator[None]:
    """Within this context, a lack of memory becomes the error that `tell` makes.

    Args:
        tell: is given what torch or NumPy says of it, without the last full stop.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        first = (str(error) or "the machine has no more").splitlines()[0]
        first = _WHERE_IN_TORCH.sub("", first)
        if isinstance(error, RuntimeError) and not _TORCH_SAYS.search(first):
            raise
        # Of a GPU it says how much was asked for, how much there is, and then much more.
        what = ". ".join(first.split(". ")[:3]).rstrip(".")
        raise tell(what) from error
