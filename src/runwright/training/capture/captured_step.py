"""Steps that replay one which was captured."""

import contextlib
import logging
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

import torch
from torch import Tensor

from runwright.config import Precision
from runwright.data import Batch
from runwright.training.capture import possible
from runwright.training.capture.cuda import Recorder
from runwright.training.capture.held import Held
from runwright.training.capture.inputs import Inputs, Taken, gathered
from runwright.training.memory import OF_THE_ALLOCATOR
from runwright.training.packing import is_equal
from runwright.training.updates import Updater

log = logging.getLogger(__name__)

B = TypeVar("B", bound=Batch)

_SAYS: Final = "The steps are replayed as a CUDA graph."

# How far a replay may be from the step itself: both compute the same, but not always in the same
# order. A batch, a learning rate or a random number that did not get into it changes far more.
_LOSS_TOLERANCE: Final = {"fp32": 1e-3, "bf16": 2e-2, "fp16": 2e-2}
_UPDATE_TOLERANCE: Final = 0.25

Losses = list[dict[str, Tensor]]
Take: TypeAlias = "Callable[[int, Iterator[B]], Losses]"


class CapturedStep(Generic[B]):
    """Takes steps by replaying one.

    The first step of a training is taken by Python, since optimisers make their state in it. The
    second is rehearsed, with everything put back afterwards, then captured and replayed. It and the
    third are also taken by Python, to compare: what the graph computes must be the same, with the
    batch that it was captured with and with another. From then on, steps are replayed. A run that
    is resumed captures its first step anew.

    Where a step turns out not to be what a graph can repeat, this one and those that follow are
    taken by Python. The reason is kept in checkpoints, so that a resumed run does the same.

    Attributes:
        given_up: why the steps are no longer captured; None if they are.
        recorder: records on the device.
        is_required: whether it is an error if the steps cannot be captured.
    """

    def __init__(
        self,
        take: "Take[B]",
        updater: Updater[B],
        objects: Mapping[str, Any],
        recorder: Recorder,
        *,
        device: torch.device,
        precision: Precision = "fp32",
        is_required: bool = False,
        keeps_hyperparameters: bool = True,
    ) -> None:
        """Capture nothing yet.

        Args:
            take: takes the steps that are not replayed, and is captured; see `TrainStep.take`.
            updater: what it updates the weights with.
            objects: what else a step may change, by name: the model, the objective.
            recorder: records on the device.
            device: where the batches are.
            precision: of the forward pass.
            is_required: whether it is an error if the steps cannot be captured.
            keeps_hyperparameters: whether learning rates alone change from step to step.
        """
        self.given_up: str | None = None
        self._take, self._updater = take, updater
        self._objects, self.recorder, self._device = objects, recorder, device
        self._tolerance = _LOSS_TOLERANCE[precision]
        self.is_required = is_required
        self._keeps_hyperparameters = keeps_hyperparameters
        self._optimizers = list(updater.optimizers.values())
        for group in self._groups():
            if "capturable" in group:
                group["capturable"] = True
        self._inputs: Inputs[B] | None = None
        self._has_begun = self._is_checked = False
        self._replay: Callable[[], None] = _nothing
        self._reads: list[Tensor] = []
        self._lrs = torch.zeros(len(self._groups()), device=device)
        self._lrs_now: list[float] = []
        self._scale: dict[str, Any] = {}
        self._fixed: list[dict[str, Any]] = []
        self._names: list[list[str]] = []
        self._losses = torch.zeros(0)
        self._grad_norm: Tensor | None = None

    def __call__(self, number: int, batches: "Iterator[Taken[B]]") -> Losses:
        """Take this step, counted from 0; see `TrainStep`."""
        if self.given_up is not None or number == 0 or not self._has_state():
            return self._by_python(number, batches)  # one batch after the other, for the memory
        taken = [next(batches) for _ in range(self._updater.num_batches)]
        if self._inputs is None:
            self._try(partial(self._capture, number, taken))
            if self.given_up is None:
                self._try(partial(self._compare, number, taken))
        elif not self._inputs.fits(taken):
            self.give_up("the batches differ in shape, or in what is no tensor")
        elif not (self._keeps_hyperparameters or is_equal(self._fixed, self._others())):
            self.give_up("the schedule changes more than the learning rate")
        elif not self._is_checked:
            self._try(partial(self._compare, number, taken))
            if self.given_up is None:
                self._is_checked = True
                log.info(_SAYS)
        return self._replayed(taken) if self.given_up is None else self._by_python(number, taken)

    def _by_python(self, number: int, taken: "Iterable[Taken[B]]") -> Losses:
        if self._has_begun:
            return self._take(number, map(gathered, taken))
        self._has_begun = True
        with _without_advice():  # which is given once
            return self._take(number, map(gathered, taken))

    def give_up(self, reason: str) -> None:
        """Take all further steps by Python.

        Raises:
            UserError: the user has asked for captured steps.
        """
        self.given_up = reason
        self._inputs, self._replay, self._reads = None, _nothing, []  # the graph holds memory
        self._losses, self._grad_norm = torch.zeros(0), None
        possible.say(reason, is_required=self.is_required)

    def _groups(self) -> list[dict[str, Any]]:
        return [group for one in self._optimizers for group in one.param_groups]

    def _others(self) -> list[dict[str, Any]]:
        """The hyperparameters that are part of the graph."""
        without = ("params", "lr", "capturable")
        return [{k: v for k, v in group.items() if k not in without} for group in self._groups()]

    def _has_state(self) -> bool:
        """Whether the optimisers have what they make in their first step, if they make anything."""
        return all(one.state or not one.defaults.get("momentum", True) for one in self._optimizers)

    def _held(self, *, copies: bool = False) -> Held:
        optimizers = {
            f"optimizer {name}".strip(): {"state": one.state, "groups": one.param_groups}
            for name, one in self._updater.optimizers.items()
        }
        return Held({**self._objects, **optimizers}, self._device, copies=copies)

    def _put_back(self, held: Held, *, members: bool = False) -> None:
        held.put_back(members=members)
        for one in self._optimizers:  # what a scaler leaves there when a step fails
            vars(one).pop("grad_scale", None)
            vars(one).pop("found_inf", None)
        if self._scale:  # empty unless the precision is fp16
            scaler = self._updater.scaler
            scaler.scale(torch.ones((), device=self._device))  # makes its tensors, if it has none
            scaler.update(float(self._scale["scale"]))  # forgets the gradients of a failed step
            scaler.load_state_dict(self._scale)

    def _try(self, attempt: Callable[[Held], None]) -> None:
        """Do something, and put everything back, whether it succeeds or not."""
        held: Held | None = None
        reason: str | None = None
        rates = [group["lr"] for group in self._groups()]
        self._scale = self._updater.scaler.state_dict()
        try:
            held = self._held(copies=True)  # for which the memory may not suffice
            with _without_advice():
                attempt(held)
        except _CannotError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  # if it is a mistake, the step by Python raises it
            reason = explained(error)
        finally:
            for one in self._optimizers:
                one.zero_grad(set_to_none=True)
            for group, rate in zip(self._groups(), rates, strict=True):
                group["lr"] = rate
            if held is not None:
                self._put_back(held, members=self._inputs is None or reason is not None)
        if reason is not None:
            self.give_up(reason)

    def _capture(self, number: int, taken: "Sequence[Taken[B]]", held: Held) -> None:
        inputs = Inputs(taken)
        self._set_lrs()
        for group, rate in zip(self._groups(), self._lrs.unbind(), strict=True):
            group["lr"] = rate

        def rehearse() -> None:
            with self.recorder.rehearsing():
                self._take(number, inputs.watched())

        rehearse()  # makes what is made once
        before = self._held()
        made = before.tensors.keys() - held.tensors.keys()
        if any(place.startswith("optimizer") and ".state." in place for place in made):
            raise _CannotError("an optimiser makes some of its state after its first step")
        with self.recorder.refusing_to_wait():
            rehearse()
        if (moved := next(before.moved(self._held()), None)) is not None:
            raise _CannotError(moved)

        def take() -> None:
            found = self._take(number, inputs.batches())
            self._names = [list(losses) for losses in found]
            values = [value.float() for losses in found for value in losses.values()]
            self._losses, self._grad_norm = torch.stack(values), self._updater.grad_norm

        self._replay = self.recorder.record(take)
        # A graph holds none of what it reads, such as a cache that a validation replaces.
        self._reads = list(before.tensors.values())
        self._inputs, self._fixed = inputs, self._others()

    def _compare(self, number: int, taken: "Sequence[Taken[B]]", held: Held) -> None:
        """Take a step by Python and by replaying, from the same state.

        Raises:
            _CannotError: they differ by more than rounding.
        """
        expected = self._take(number, map(gathered, taken))
        right = held.moves()
        self._put_back(held)
        found = self._replayed(taken)
        for mine, its in zip(found, expected, strict=True):
            for name, value in its.items():
                limits = {"rtol": self._tolerance, "atol": self._tolerance}
                if not torch.allclose(mine[name], value.float(), **limits, equal_nan=True):
                    raise _CannotError(
                        f"replayed, a step gives {name}={float(mine[name]):.6g} in place of "
                        f"{float(value):.6g}"
                    )
        apart = _norm(a - b for a, b in zip(held.moves(), right, strict=True))
        if not apart <= _UPDATE_TOLERANCE * _norm(right):
            raise _CannotError("replayed, a step changes the weights in another way")

    def _replayed(self, taken: "Sequence[Taken[B]]") -> Losses:
        assert self._inputs is not None
        self._inputs.fill(taken)
        self._set_lrs()
        self._replay()
        self._updater.grad_norm = self._grad_norm
        values = iter(self._losses.clone().unbind())  # the next replay overwrites them
        return [{name: next(values) for name in names} for names in self._names]

    def _set_lrs(self) -> None:
        rates = [group["lr"] for group in self._groups()]
        if rates != self._lrs_now:
            # The rates are copied on the way to the device, so they may change before they arrive.
            self._lrs.copy_(torch.tensor(rates), non_blocking=True)
            self._lrs_now = rates


@contextlib.contextmanager
def _without_advice() -> Generator[None]:
    """Within this context torch does not say that such an optimiser is meant for graphs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
        yield


class _CannotError(Exception):
    """The steps cannot be replayed; the text says why."""


def _nothing() -> None:
    pass


def _norm(tensors: Any) -> float:
    squares = [tensor.detach().double().square().sum() for tensor in tensors]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def explained(error: BaseException) -> str:
    """What a step did that cannot be captured, and where."""
    if "during capture" in str(error) and error.__context__ is not None:
        error = error.__context__  # the error that ended the capture, and not what came of it
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if "/torch/" not in frame.filename and "/runwright/training/" not in frame.filename
    ]
    where = f" (in {Path(frames[-1].filename).name}, {frames[-1].name})" if frames else ""
    if own:
        where = f" ({own[-1].filename}, line {own[-1].lineno})"
    what = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
    what = what.split(OF_THE_ALLOCATOR)[0].rstrip(".")
    if "called a synchronizing CUDA operation" in what:
        what = "it waits for the device"
    return f"{what}{where}"
