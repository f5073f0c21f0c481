"""Validations that are replayed: they compute what Python does, to the byte, or are not."""

import weakref
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from runwright.training.capture.captured_forward import CapturedForward
from training.capture.tape import Tape

CPU = torch.device("cpu")


class Counted(Tape):
    """Counts how often something is replayed."""

    replays = 0

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        replay = super().record(function)

        def counted() -> None:
            self.replays += 1
            replay()

        return counted


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        self.calls = 0

    def forward(self, x: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
        return {"y": self.layers(x) * scale, "norm": x.norm()}


class Counting(Net):
    def forward(self, x: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
        self.calls += 1
        return {"y": super().forward(x, scale)["y"] * self.calls}


class Output(dict[str, Tensor]):
    """What some libraries return: a dictionary with attributes."""

    @property
    def y(self) -> Tensor:
        return self["y"]


class Library(Net):
    def forward(self, x: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
        found = Output(super().forward(x, scale))
        assert found.y is found["y"]
        return found


class Collecting(Net):
    """Keeps what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
        found = super().forward(x, scale)
        self.kept.append(found["y"])
        return found


def validate(
    model: nn.Module, forward: CapturedForward | None, sizes: tuple[int, ...] = (6, 6, 3)
) -> list[Tensor]:
    torch.manual_seed(0)
    batches = [torch.randn(size, 4) for size in sizes]
    model.eval()
    with torch.no_grad():
        if forward is None:
            return [model(batch)["y"] for batch in batches]
        with forward.used_by(model):
            return [model(batch)["y"] for batch in batches]


def move(model: nn.Module) -> None:
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.add_(0.1)


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_replayed_passes_follow_the_weights(precision: torch.dtype | None) -> None:
    recorder, model = Counted(), Net()
    forward = CapturedForward(recorder, CPU)
    for replays in (0, 3, 6, 9):
        # As a validation does: within one context, converted weights are kept.
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is not None):
            found, expected = validate(model, forward), validate(model, None)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert recorder.replays == replays
        move(model)
    assert "forward" not in vars(model)


def test_a_pass_that_python_changes_is_left_to_python() -> None:
    recorder, model, other = Counted(), Counting(), Counting()
    other.load_state_dict(model.state_dict())
    forward = CapturedForward(recorder, CPU)
    for _ in range(3):
        model.calls = other.calls = 0
        found, expected = validate(model, forward), validate(other, None)
        for one, its in zip(found[:1], expected[:1], strict=True):
            assert torch.equal(one, its)
    assert not recorder.replays


def test_outputs_of_a_class_of_their_own_are_left_to_python() -> None:
    recorder, model = Counted(), Library().eval()
    forward = CapturedForward(recorder, CPU)
    for _ in range(3):
        with torch.no_grad(), forward.used_by(model):
            assert isinstance(model(torch.ones(3, 4)), Output)
    assert not recorder.replays


def test_what_a_pass_keeps_is_kept_once_a_pass() -> None:
    recorder, model = Counted(), Collecting()
    forward = CapturedForward(recorder, CPU)
    for passes in (3, 6, 9):
        validate(model, forward)
        assert len(model.kept) == passes
    assert not recorder.replays


def test_a_way_to_compute_that_the_model_was_given_is_its_own_again() -> None:
    model = Net().eval()
    model.forward = given = partial(Net.forward, model, scale=2.0)
    forward = CapturedForward(Counted(), CPU)
    for _ in range(3):
        found, expected = validate(model, forward), validate(model, None)
        assert all(torch.equal(one, its) for one, its in zip(found, expected, strict=True))
        assert model.forward is given


def test_what_a_graph_reads_is_kept_when_the_model_replaces_it() -> None:
    class Blind(Tape):  # as a graph, it holds none of the tensors
        def record(self, function: Callable[[], None]) -> Callable[[], None]:
            function()
            return lambda: None

    model = Net()
    model.cache = torch.ones(2)  # of positions, say
    cache = weakref.ref(model.cache)
    forward = CapturedForward(Blind(), CPU)
    validate(model, forward)
    model.cache = torch.zeros(2)
    assert cache() is not None
    del forward
    assert cache() is None


def test_only_so_many_shapes_are_captured() -> None:
    recorder, model = Counted(), Net()
    forward = CapturedForward(recorder, CPU)
    sizes = (2, 3, 4, 5, 6, 7)
    for _ in range(3):
        found, expected = validate(model, forward, sizes), validate(model, None, sizes)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert recorder.replays == 2 * 4


def test_with_gradients_and_in_training_python_computes() -> None:
    recorder, model = Counted(), Net()
    forward = CapturedForward(recorder, CPU)
    with forward.used_by(model):
        for _ in range(3):
            model(torch.ones(3, 4))["y"].sum().backward()
            with torch.no_grad():
                model.train()(torch.ones(3, 4))
            model.eval()
    assert not recorder.replays
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_graph_that_does_not_notice_new_weights_is_not_used() -> None:
    class Stale(Counted):
        def record(self, function: Callable[[], None]) -> Callable[[], None]:
            super().record(function)
            return lambda: None

    model = Net()
    forward = CapturedForward(Stale(), CPU)
    for _ in range(3):
        found, expected = validate(model, forward), validate(model, None)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        move(model)
