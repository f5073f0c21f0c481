"""Recording what is launched on a GPU, as a CUDA graph."""

import contextlib
import gc
import warnings
from collections.abc import Callable, Generator
from typing import Any, Protocol

import torch

from runwright.training.capture._torch import end_allocation


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
        pool = torch.cuda.graph_pool_handle()
        spare = self._generator.clone_state()
        collects = gc.isenabled()
        gc.disable()  # to free what another graph or an event holds cannot be recorded
        try:
            return self._captured(function, pool).replay
        except BaseException:
            end_allocation(self._device, pool)
            # Until another capture succeeds, the generator may be in the state of a capture.
            try:
                self._captured(self._hardly_anything, torch.cuda.graph_pool_handle())
            except RuntimeError:
                self._generator.graphsafe_set_state(spare)
            raise
        finally:
            if collects:
                gc.enable()

    @property
    def _generator(self) -> torch.Generator:
        return torch.cuda.default_generators[self._device.index or 0]

    def _captured(self, function: Callable[[], None], pool: Any) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(self._device),
            # Of itself torch would go on in the stream of a capture that failed.
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            # Batches are gathered by other threads meanwhile, which allocate pinned memory.
            torch.cuda.graph(graph, pool, self._stream, capture_error_mode="thread_local"),
        ):
            function()
        return graph

    def _hardly_anything(self) -> None:
        torch.zeros(1, device=self._device)

    @contextlib.contextmanager
    def rehearsing(self) -> Generator[None]:
        """See `Recorder`; libraries allocate what they need on this stream once."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:  # what was launched before a failure is put back after it
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
