"""Recording what is launched on a GPU, as a CUDA graph."""

import contextlib
import gc
import warnings
from collections.abc import Callable, Generator
from typing import Protocol

import torch


class Recorder(Protocol):
    """Records what a function has the device do."""

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        """Call a function without carrying out what it launches.

        Returns:
            Carries it out, as often as it is called, in the order of the current stream.

        Raises:
            RuntimeError: the function does what cannot be recorded.
        """
        ...

    def rehearsing(self) -> contextlib.AbstractContextManager[None]:
        """Within this context, work is carried out where it will be recorded."""
        ...

    def refusing_to_wait(self) -> contextlib.AbstractContextManager[None]:
        """Within this context, whatever waits for the device raises a RuntimeError."""
        ...


class CudaRecorder:
    """Records CUDA graphs on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        """See `Recorder`."""
        graph = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[self._device.index or 0]
        spare = generator.clone_state()
        collects = gc.isenabled()
        gc.disable()  # to free what another graph or an event holds cannot be recorded
        try:
            with (
                torch.cuda.device(self._device),
                # Batches are gathered by other threads meanwhile, which allocate pinned memory.
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                function()
        except BaseException:
            # After a failure torch leaves the generator in the state of a capture.
            generator.graphsafe_set_state(spare)
            raise
        finally:
            if collects:
                gc.enable()
        return graph.replay

    @contextlib.contextmanager
    def rehearsing(self) -> Generator[None]:
        """See `Recorder`; libraries allocate what they need on this stream once."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    @contextlib.contextmanager
    def refusing_to_wait(self) -> Generator[None]:
        """See `Recorder`."""
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype feature")
            torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
