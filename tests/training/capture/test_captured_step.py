"""Steps that are replayed: they train as those that Python takes, or are not replayed."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from conftest import last_of_each
from runwright import Config, ConfigError, Split, UserError, compose
from runwright.data import Data
from runwright.data.batching import InMemory
from runwright.device.distributed import World
from runwright.device.runtime import Runtime
from runwright.training.capture import possible
from runwright.training.capture.captured_step import explained
from runwright.training.capture.inputs import Picked, batches_to_gather, gathered
from toy_domain import SetBatch, SquaredDistance
from training.capture.tape import Tape
from training.test_loop import DIGITS, SETS, rows, weights

REPLAYED = "The steps are replayed as a CUDA graph."
NOT_CAPTURED = "The steps are not captured as a CUDA graph: "
ASKED = ("training.cuda_graph=true", "gpu=0")  # which is the CPU where there is no GPU
SHORT = (*SETS, "training.max_steps=20", "opt.lr=0.01")


@pytest.fixture(autouse=True)
def on_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capture here what would be captured on a GPU."""

    def why_not(device: torch.device, *others: Any) -> str | None:
        del device
        return real(torch.device("cuda"), *others)

    real = possible.why_not
    monkeypatch.setattr(possible, "why_not", why_not)
    recorded_by(monkeypatch, Tape())


def recorded_by(monkeypatch: pytest.MonkeyPatch, recorder: Tape) -> None:
    def make(device: torch.device) -> Tape:
        del device
        return recorder

    monkeypatch.setattr("runwright.training.step.CudaRecorder", make)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level("INFO")
    return lambda: [one for one in caplog.messages if "CUDA graph" in one]


def assert_trained_alike(one: Path, other: Path, *, rtol: float = 1e-3, atol: float = 1e-6) -> None:
    found, expected = weights(one), weights(other)
    for name in expected:
        mine, its = found[name], expected[name]
        if name.endswith("in_proj_bias") and rtol:
            # Softmax does not depend on the bias of the keys: its gradient is rounding alone.
            mine, its = (torch.cat([t.chunk(3)[0], t.chunk(3)[2]]) for t in (mine, its))
        torch.testing.assert_close(mine, its, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("training.clip_grad=0.1", "training.track=[grad_norm]"),
        ("training.ema_decay=0.9", "training.val_every=5"),
        ("training.accumulate_grad_batches=3",),
        ("training.limit_train_batches=5",),
        ("training.overfit_batches=2",),
        ("opt.optimizer_cls=SGD", "opt.optimizer_kwargs={momentum: 0.9, nesterov: true}"),
        ("opt.optimizer_cls=SGD",),
        ("opt.weight_decay=0.1", "opt.layer_decay=1", "opt.schedule=plateau", "opt.patience=1"),
        ("training.precision=bf16",),
    ],
    ids=lambda options: " ".join(options) or "usual",
)
def test_replayed_steps_train_as_steps_by_python(
    tmp_path: Path, options: tuple[str, ...], said: Callable[[], list[str]]
) -> None:
    mine = last_of_each(*SHORT, *options)
    compose(mine).run(tmp_path / "replayed")
    assert said() == [REPLAYED]
    compose(last_of_each(*mine, "training.cuda_graph=false")).run(tmp_path / "taken")
    assert said() == [REPLAYED]
    assert_trained_alike(tmp_path / "replayed", tmp_path / "taken")
    for mine, its in zip(rows(tmp_path / "replayed"), rows(tmp_path / "taken"), strict=True):
        assert mine.keys() == its.keys()
        for name, value in its.items():
            assert (mine[name] == value == "") or float(mine[name]) == pytest.approx(
                float(value), rel=1e-4, abs=1e-7
            )


def test_statistics_of_batch_normalisation_are_counted_once_a_step(tmp_path: Path) -> None:
    options = last_of_each(*DIGITS, "model=resnet", "training.max_steps=6", "dm.batch_size=16")
    compose(options).run(tmp_path / "replayed")
    compose([*options, "training.cuda_graph=false"]).run(tmp_path / "taken")
    assert_trained_alike(tmp_path / "replayed", tmp_path / "taken", rtol=1e-3, atol=1e-4)
    counted = {int(v) for n, v in weights(tmp_path / "replayed").items() if "num_batches" in n}
    assert counted == {6}


@pytest.mark.parametrize("first", [1, 2, 3, 7])
def test_a_run_in_two_parts_ends_with_the_same_weights_to_the_byte(
    tmp_path: Path, first: int
) -> None:
    same = (*SHORT, "opt.schedule=constant", "training.ema_decay=0.9", "training.clip_grad=1")
    for name, steps in (("whole", 20), ("halves", first), ("halves", 20)):
        changes = [f"training.max_steps={steps}", "checkpoint.allow_changes=true"]
        compose(last_of_each(*same, *changes)).run(tmp_path / name)
    for file in ("last.safetensors", "best.safetensors"):
        whole, halves = (
            (tmp_path / name / "checkpoints" / file).read_bytes() for name in ("whole", "halves")
        )
        assert whole == halves


class Counts(SquaredDistance):
    """Weighs the loss by the number of the step, which Python counts."""

    def __init__(self) -> None:
        self.seen = 0

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        self.seen += torch.is_grad_enabled()
        found = super().losses(model, batch)
        return {**found, "loss": found["loss"] * self.seen}


class Reassigns(SquaredDistance):
    """Divides the loss by its running mean, which is another tensor in every step."""

    def __init__(self) -> None:
        self.mean = torch.ones(())

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        found = super().losses(model, batch)
        self.mean = 0.9 * self.mean + 0.1 * found["loss"].detach()
        return {**found, "loss": found["loss"] / self.mean}


class InPlace(Reassigns):
    """The same, in a tensor that stays where it is."""

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        found = SquaredDistance.losses(self, model, batch)
        if torch.is_grad_enabled():
            self.mean.lerp_(found["loss"].detach(), 0.1)
        return {**found, "loss": found["loss"] / self.mean.clone()}


class DrawsByPython(SquaredDistance):
    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        found = super().losses(model, batch)
        return {**found, "loss": found["loss"] * random.random()}


class DrawsByItsOwn(SquaredDistance):
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        found = super().losses(model, batch)
        return {**found, "loss": found["loss"] * float(self.rng.random())}


class Remembers(SquaredDistance):
    """Weighs the loss by how many losses it has seen."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        found = super().losses(model, batch)
        if torch.is_grad_enabled():
            self.seen.append(found["loss"].detach())
        return {**found, "loss": found["loss"] * len(self.seen)}


class Forgets(SquaredDistance):
    """Takes the next of several weights in every step."""

    def __init__(self) -> None:
        self.weights = [1 + number % 3 for number in range(50)]

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        found = super().losses(model, batch)
        if torch.is_grad_enabled():
            found = {**found, "loss": found["loss"] * self.weights.pop()}
        return found


def run_with(objective: SquaredDistance, run_dir: Path, *options: str) -> None:
    config = compose(last_of_each(*SHORT, *options))
    builds(config, objective)
    config.run(run_dir)


def builds(config: Config, objective: SquaredDistance) -> None:
    def build(*_: object) -> SquaredDistance:
        return objective

    object.__setattr__(config.objective, "build", build)


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        (Counts, "every step changes the objective.seen, which is no tensor"),
        (Reassigns, "every step puts another tensor in the place of the objective.mean"),
        (DrawsByPython, "it draws random numbers from that of python"),
        (DrawsByItsOwn, "every step changes the objective.rng, which is no tensor"),
        (Remembers, "every step adds the objective.seen.2, or takes it away"),
        (Forgets, "every step adds the objective.weights.47, or takes it away"),
    ],
)
def test_what_python_does_in_every_step_is_found_out_and_done_once_a_step(
    tmp_path: Path, said: Callable[[], list[str]], objective: type[SquaredDistance], reason: str
) -> None:
    run_with(objective(), tmp_path / "found")
    assert said() == [f"{NOT_CAPTURED}{reason}."]
    run_with(objective(), tmp_path / "taken", "training.cuda_graph=false")
    assert_trained_alike(tmp_path / "found", tmp_path / "taken", rtol=0, atol=0)
    with pytest.raises(UserError, match=f"training.cuda_graph=true, but .*: {reason}. With null,"):
        run_with(objective(), tmp_path / "required", *ASKED)


def test_who_requires_captured_steps_resumes_a_run_that_had_none(
    tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    run_with(Counts(), tmp_path / "run", "training.max_steps=7")
    longer = ("training.max_steps=19", "checkpoint.allow_changes=true")
    run_with(SquaredDistance(), tmp_path / "run", "training.max_steps=9", longer[1])
    reason = f"{NOT_CAPTURED}every step changes the objective.seen, which is no tensor."
    assert said() == [reason, reason]
    run_with(SquaredDistance(), tmp_path / "run", *longer, *ASKED)
    assert said()[2:] == [REPLAYED]


def test_what_the_device_does_in_every_step_is_repeated(
    tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    run_with(InPlace(), tmp_path / "replayed")
    assert said() == [REPLAYED]
    run_with(InPlace(), tmp_path / "taken", "training.cuda_graph=false")
    assert_trained_alike(tmp_path / "replayed", tmp_path / "taken")


class Sparse(SquaredDistance):
    """Weighs the loss by a matrix of which torch stores the nonzero values only."""

    def __init__(self) -> None:
        self.weights = torch.full((1, 1), 2.0).to_sparse()

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        found = super().losses(model, batch)
        return {**found, "loss": (self.weights @ found["loss"].view(1, 1)).sum()}


def test_a_sparse_matrix_does_not_stand_in_the_way(
    tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    run_with(Sparse(), tmp_path / "run")
    assert len(said()) == 1


@attrs.frozen(kw_only=True)
class NamedBatch(SetBatch):
    names: list[str]
    scale: float = 1.0


class Changed(Split[Any]):
    """A split whose batches are changed, by their number."""

    def __init__(self, split: Split[Any], change: Callable[[int, SetBatch], SetBatch]) -> None:
        self.split, self.change = split, change

    def __len__(self) -> int:
        return len(self.split)

    @property
    def num_batches(self) -> int:
        return self.split.num_batches

    def batches(self, epoch: int, start: int = 0) -> Iterator[SetBatch]:
        for number, batch in enumerate(self.split.batches(epoch, start), start):
            yield self.change(number, batch)


def run_changed(
    run_dir: Path,
    change: Callable[[int, SetBatch], SetBatch],
    *options: str,
    objective: SquaredDistance | None = None,
) -> None:
    config = compose(last_of_each(*SHORT, "opt.schedule=constant", *options))
    build = config.dm.build

    def changed(runtime: Runtime) -> Data[Any, Any]:
        data = build(runtime)
        return attrs.evolve(data, train=Changed(data.train, change))

    object.__setattr__(config.dm, "build", changed)
    if objective is not None:
        builds(config, objective)
    config.run(run_dir)


def shorter_sixth(number: int, batch: SetBatch) -> SetBatch:
    return batch.select(slice(0, 4)) if number == 5 else batch


def test_a_batch_of_another_shape_ends_it_and_a_resumed_run_does_the_same(
    tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    run_changed(tmp_path / "whole", shorter_sixth)
    differ = f"{NOT_CAPTURED}the batches differ in shape, or in what is no tensor."
    assert said() == [REPLAYED, differ]
    run_changed(tmp_path / "taken", shorter_sixth, "training.cuda_graph=false")
    assert_trained_alike(tmp_path / "whole", tmp_path / "taken")
    for steps in (7, 20):
        changes = [f"training.max_steps={steps}", "checkpoint.allow_changes=true"]
        run_changed(tmp_path / "halves", shorter_sixth, *changes)
    assert said()[2:] == [REPLAYED, differ, differ]
    assert_trained_alike(tmp_path / "whole", tmp_path / "halves", rtol=0, atol=0)


class ReadsNames(SquaredDistance):
    def losses(self, model: nn.Module, batch: Any) -> dict[str, Tensor]:
        found = super().losses(model, batch)
        if not torch.is_grad_enabled():
            return found
        return {**found, "loss": found["loss"] * len(batch.names[0])}


def with_names(number: int, batch: SetBatch) -> SetBatch:
    return NamedBatch(vectors=batch.vectors, target=batch.target, names=["a" * (number + 1)] * 8)


def test_what_is_no_tensor_may_differ_from_batch_to_batch_unless_the_step_reads_it(
    tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    run_changed(tmp_path / "unread", with_names)
    assert said() == [REPLAYED]
    run_changed(tmp_path / "read", with_names, objective=ReadsNames())
    assert said()[1:] == [f"{NOT_CAPTURED}the batches differ in shape, or in what is no tensor."]
    run_changed(tmp_path / "taken", with_names, "training.cuda_graph=false", objective=ReadsNames())
    assert_trained_alike(tmp_path / "read", tmp_path / "taken")


class Broken(Tape):
    """Records a step, and loses some of it."""

    def __init__(self, loses: Callable[[Mapping[str, Any]], None]) -> None:
        self._loses = loses

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        replay = super().record(function)
        self._loses(vars(replay.__self__))  # pyright: ignore[reportFunctionMemberAccess]
        return replay


def without_updates(recording: Mapping[str, Any]) -> None:
    done = recording["_done"]
    done[:] = [one for one in done if "adam" not in str(one[0])]


def without_batches(recording: Mapping[str, Any]) -> None:
    done = recording["_done"]
    done[:] = [one for one in done if "index_select" not in str(one[0])]


def nothing_at_all(recording: Mapping[str, Any]) -> None:
    recording["_done"].clear()


@pytest.mark.parametrize("loses", [without_updates, without_batches, nothing_at_all])
def test_a_graph_that_computes_something_else_is_not_used(
    tmp_path: Path,
    said: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    loses: Callable[[Mapping[str, Any]], None],
) -> None:
    recorded_by(monkeypatch, Broken(loses))
    compose(SHORT).run(tmp_path / "run")
    (only,) = said()
    assert only.startswith(f"{NOT_CAPTURED}replayed, a step ")


def test_a_failed_recording_leaves_the_training_as_it_was(
    tmp_path: Path, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails(Tape):
        def record(self, function: Callable[[], None]) -> Callable[[], None]:
            super().record(function)
            raise RuntimeError("operation not permitted when stream is capturing.\nmore")

    recorded_by(monkeypatch, Fails())
    options = last_of_each(*SHORT, "training.ema_decay=0.9")
    compose(options).run(tmp_path / "failed")
    (only,) = said()
    assert only.startswith(
        f"{NOT_CAPTURED}operation not permitted when stream is capturing ({__file__}, line "
    )
    compose([*options, "training.cuda_graph=false"]).run(tmp_path / "taken")
    assert_trained_alike(tmp_path / "failed", tmp_path / "taken", rtol=0, atol=0)


class Plain(Optimizer):
    """Descends along the gradient; with fp16, Python has to ask whether it is finite."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": 0.01, "momentum": 0, "capturable": False})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad * group["lr"])


def plain(model: nn.Module) -> Optimizer:
    return Plain(model.parameters())


@pytest.mark.parametrize("options", [(), ("training.clip_grad=0.1",)])
def test_a_step_that_fails_between_the_gradients_and_the_update_is_taken_by_python(
    tmp_path: Path, said: Callable[[], list[str]], options: tuple[str, ...]
) -> None:
    for tries in ("null", "false"):
        asked = ("training.precision=fp16", f"training.cuda_graph={tries}", *options)
        config = compose(last_of_each(*SHORT, *asked))
        object.__setattr__(config.opt, "build", plain)
        config.run(tmp_path / tries)
    (only,) = said()
    assert only.startswith(f"{NOT_CAPTURED}it waits for the device")
    assert_trained_alike(tmp_path / "null", tmp_path / "false", rtol=0, atol=0)


def test_what_stands_against_it_is_said_with_its_place() -> None:
    with pytest.raises(AssertionError) as caught:
        torch.amp.GradScaler("cpu").unscale_(Plain([nn.Parameter(torch.zeros(1))]))
    assert re.search(rf"\({__file__}, line \d+\)$", explained(caught.value))
    trace = caught.value.__traceback__
    assert trace is not None
    within = caught.value.with_traceback(trace.tb_next)  # torch alone
    assert explained(within).endswith(" (in grad_scaler.py, _check_scale_growth_tracker)")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("opt.optimizer_cls=Adagrad",), "Adagrad of this kind does not support it"),
        (
            ("opt.optimizer_cls=SGD", "opt.optimizer_kwargs={foreach: true}"),
            "SGD of this kind does not support it",
        ),
    ],
)
def test_an_optimiser_that_cannot_be_captured_is_named(
    tmp_path: Path, said: Callable[[], list[str]], options: tuple[str, ...], reason: str
) -> None:
    compose(last_of_each(*SHORT, *options)).run(tmp_path / "run")
    assert not said()  # on a CPU nobody expects a graph
    with pytest.raises(UserError, match=reason):
        compose(last_of_each(*SHORT, *options, *ASKED)).run(tmp_path / "asked")


@pytest.mark.parametrize(
    ("layers", "dropout", "reason"),
    [
        (1, 0.0, None),
        (2, 0.0, None),
        (2, 0.1, "cuDNN draws the dropout between the layers of LSTM"),
    ],
)
def test_dropout_that_cudnn_draws_is_named(layers: int, dropout: float, reason: str | None) -> None:
    model = nn.Sequential(nn.LSTM(2, 2, layers, dropout=dropout))
    assert possible.why_not(torch.device("cuda"), World(), model, None, []) == reason


def test_batches_with_arrays_of_numpy_are_gathered_before_the_step() -> None:
    @attrs.frozen(kw_only=True)
    class Named(SetBatch):
        names: Any

    tensors = {"vectors": torch.zeros(8, 2, 3), "target": torch.zeros(8)}
    for names, picked in ((np.array(list("abcdefgh")), False), (torch.arange(8), True)):
        split = InMemory(Named(**tensors, names=names), batch_size=4, shuffle_seed=1)
        taken = list(batches_to_gather(split, 0, 0))
        assert [isinstance(one, Picked) for one in taken] == [picked, picked]
        expected = [*split.batches(0)]
        assert [list(gathered(one).names) for one in taken] == [list(one.names) for one in expected]


def test_a_graph_that_is_asked_for_on_the_cpu_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="training.cuda_graph must not be true with gpu=-1"):
        compose([*SETS, "training.cuda_graph=true"]).run()
