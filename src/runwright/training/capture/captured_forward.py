"""Forward passes of a validation that replay one."""

import contextlib
import logging
from collections.abc import Callable, Generator
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from runwright.data.parts import Part, map_tensors, tensors_in
from runwright.training.capture.captured_step import explained
from runwright.training.capture.cuda import Recorder
from runwright.training.capture.held import Held
from runwright.training.capture.inputs import kind_of

log = logging.getLogger(__name__)

_MOST_SHAPES: Final = 4


class CapturedForward:
    """Replays what a model computes without gradients; a graph for each shape of its inputs.

    In the first validation Python computes, and what it does is captured. In the second, the first
    pass is done in both ways: the weights have changed since, and a graph must have noticed. From
    then on passes are replayed. Where the two are not equal to the byte, or a pass cannot be
    captured, Python computes as ever.
    """

    def __init__(self, recorder: Recorder, device: torch.device) -> None:
        """Capture nothing yet."""
        self._recorder, self._device = recorder, device
        self._graphs: dict[str, _Graph | None] = {}
        self._validation = 0

    @contextlib.contextmanager
    def used_by(self, model: nn.Module) -> Generator[None]:
        """Within this context, calls of the model are replayed where they can be."""
        self._validation += 1
        by_python, own = model.forward, vars(model).get("forward")

        def forward(*args: Any, **kwargs: Any) -> Any:
            return self._outputs(model, by_python, args, kwargs)

        model.forward = forward
        try:
            yield
        finally:
            del model.forward  # that of its class is seen again
            if own is not None:
                model.forward = own

    def _outputs(
        self, model: nn.Module, by_python: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        if model.training or torch.is_grad_enabled():
            return by_python(*args, **kwargs)
        given = (args, kwargs)
        key = repr(kind_of(given))
        if key not in self._graphs:
            if len(self._graphs) >= _MOST_SHAPES:
                return by_python(*args, **kwargs)
            computed = by_python(*args, **kwargs)
            self._graphs[key] = self._captured(model, by_python, given, computed)
            return computed
        graph = self._graphs[key]
        if graph is None or graph.since == self._validation:
            return by_python(*args, **kwargs)
        if not graph.is_checked:
            state = Held({}, self._device)
            found = graph.replay(given)
            state.put_back()
            computed = by_python(*args, **kwargs)
            if not _is_equal(found, computed):
                self._graphs[key] = None
            graph.is_checked = True
            return computed
        return graph.replay(given)

    def _captured(
        self, model: nn.Module, by_python: Callable[..., Any], given: Any, computed: Any
    ) -> "_Graph | None":
        """A graph of what Python has just computed; None if there cannot be one."""
        if not (_is_plain(given) and _is_plain(computed)):
            return None
        static = map_tensors(given, torch.clone)
        outputs: list[Any] = []

        def compute() -> None:
            # Weights that autocast has converted before would be used for ever.
            with torch.autocast(
                self._device.type,
                dtype=torch.get_autocast_dtype(self._device.type),
                enabled=torch.is_autocast_enabled(self._device.type),
                cache_enabled=False,
            ):
                outputs[:] = [by_python(*static[0], **static[1])]

        before: Held | None = None
        graph: _Graph | None = None
        try:
            before = Held({"the model": model}, self._device, copies=True)
            with self._recorder.refusing_to_wait(), self._recorder.rehearsing():
                compute()
            after = Held({"the model": model}, self._device)
            if next(before.moved(after), None) is not None:
                return None
            replay = self._recorder.record(compute)
            graph = _Graph(static, outputs, replay, since=self._validation)
            graph.reads = list(after.tensors.values())  # the graph itself holds none of them
        except Exception as error:  # noqa: BLE001  # Python has computed it, so it is no mistake
            log.debug("The validation is not captured: %s.", explained(error))
        finally:
            if before is not None:
                before.put_back(members=graph is None)
        return graph


class _Graph:
    """A captured pass, its inputs and its outputs."""

    def __init__(
        self, static: Any, outputs: list[Any], replay: Callable[[], None], *, since: int
    ) -> None:
        self._static, self._outputs, self._replay = static, outputs, replay
        self.since, self.is_checked = since, False
        self.reads: list[Tensor] = []

    def replay(self, given: Any) -> Any:
        for mine, its in zip(tensors_in(self._static), tensors_in(given), strict=True):
            mine.copy_(its)
        self._replay()
        return map_tensors(self._outputs[0], torch.clone)  # the next replay overwrites them


def _is_plain(value: Any) -> bool:
    """Whether all that there is of a value is known, so that no tensor is hidden in it."""
    if type(value) is dict:  # what a class of its own has besides would be lost in a copy
        return all(map(_is_plain, cast("dict[Any, Any]", value).values()))
    if type(value) in (list, tuple) or (
        isinstance(value, tuple) and hasattr(cast("Any", value), "_fields")
    ):
        return all(map(_is_plain, cast("list[Any]", value)))
    return value is None or isinstance(value, Tensor | Part | bool | int | float | str)


def _is_equal(one: Any, other: Any) -> bool:
    """Whether two values are equal to the byte, so that a resumed run measures the same."""
    if kind_of(one) != kind_of(other):
        return False
    pairs = zip(tensors_in(one), tensors_in(other), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in pairs)
