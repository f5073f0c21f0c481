"""Optimisers and learning-rate schedules."""

import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from typing_extensions import override

from runwright import optimizer_arguments
from runwright.errors import UserError, did_you_mean
from runwright.factory import Settings, option, settings

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer

Schedule = Literal["constant", "cosine", "linear", "one_cycle"]

_PREFIX: Final = "torch.optim."
# The one-cycle policy of Smith & Topin (2018, https://arxiv.org/abs/1708.07120) with the default
# constants of torch.optim.lr_scheduler.OneCycleLR.
_ONE_CYCLE_RISE: Final = 0.3
_ONE_CYCLE_START: Final = 1 / 25
_ONE_CYCLE_END: Final = 1 / 25e4


@settings
class OptimisationCfg(Settings):
    """The optimiser and its learning-rate schedule."""

    lr: float = option(default=5e-5, gt=0, doc="peak learning rate")
    weight_decay: float = option(default=0.0, ge=0, doc="weight decay, as the optimiser defines it")
    optimizer_cls: str = option(
        default="torch.optim.AdamW", doc="name of a subclass of torch.optim.Optimizer"
    )
    optimizer_kwargs: dict[str, Any] | None = option(
        default={}, doc="extra arguments for the optimiser, e.g. {betas: [0.9, 0.95]}"
    )
    schedule: Schedule = option(
        default="one_cycle", doc="learning-rate schedule over the training steps"
    )
    warmup: int | float = option(
        default=0,
        ge=0,
        doc="linear warm-up before the schedule: an integer is steps, a float a fraction of all",
    )
    final_lr_ratio: float = option(
        default=0.0,
        ge=0,
        le=1,
        doc="final learning rate of cosine and linear, as a fraction of lr",
    )
    decay_bias_and_norm: bool = option(
        default=False,
        doc="whether weight decay also applies to biases and norms (all 1-d parameters)",
    )

    @override
    def problems(self) -> Iterator[str]:
        name = self.optimizer_cls.removeprefix(_PREFIX)
        if not name.isidentifier():
            yield (
                f"`optimizer_cls` must name a class of torch.optim such as torch.optim.AdamW, "
                f"got '{self.optimizer_cls}'"
            )
        if isinstance(self.warmup, float) and self.warmup > 1:
            yield f"`warmup` as a fraction must be ≤ 1, got {self.warmup}; a count is an integer"
        if self.schedule == "one_cycle" and self.warmup:
            yield "`warmup` must be 0 with `schedule`=one_cycle, which has its own warm-up"
        if self.schedule in ("constant", "one_cycle") and self.final_lr_ratio:
            yield (
                f"`final_lr_ratio` must be 0 with `schedule`={self.schedule}, which does not "
                "use it; it belongs to cosine and linear"
            )
        given = set(self.optimizer_kwargs or {})
        for own in sorted(given & {"lr", "weight_decay", "params"}):
            yield f"`optimizer_kwargs` must not contain '{own}'; use `{own}`"

    @override
    def preflight(self) -> None:
        import torch

        # What works only on a GPU is tried there, when the optimiser is built.
        self._try_steps(torch.device("cpu"), without=("capturable",))

    def check_on(self, device: "torch.device") -> None:
        """Check that the optimiser accepts its arguments, with two steps on small parameters.

        Raises:
            UserError: it does not; names the argument and its default.
        """
        self._try_steps(device)

    @property
    def described(self) -> str:
        """The optimiser and what its state depends on, e.g. "SGD(momentum=0.9)"."""
        given = ", ".join(f"{k}={v}" for k, v in sorted((self.optimizer_kwargs or {}).items()))
        return f"{self.optimizer_cls.removeprefix(_PREFIX)}({given})"

    def build(self, model: "nn.Module") -> "Optimizer":
        """Build the optimiser for the model's trainable parameters.

        Weight decay applies to parameters with two or more dimensions, or to all if asked for.

        Raises:
            UserError: the optimiser is unknown, or rejects its arguments or the parameters.
        """
        trainable = [p for p in model.parameters() if p.requires_grad]
        if trainable and not trainable[0].is_meta:
            self.check_on(trainable[0].device)
        cls = self._optimizer_class()
        if self.decay_bias_and_norm or not self.weight_decay:
            groups = [{"params": trainable, "weight_decay": self.weight_decay}]
        else:
            groups = [
                {"params": [p for p in trainable if p.ndim > 1], "weight_decay": self.weight_decay},
                {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
            ]
        if "weight_decay" not in inspect.signature(cls).parameters:
            for group in groups:
                del group["weight_decay"]
        try:
            kept = [group for group in groups if group["params"]]
            return self._make(cls, kept, self.optimizer_kwargs or {})
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            raise UserError(f"opt.optimizer_cls={self.optimizer_cls}: {error}") from error

    def _make(
        self, cls: "type[Optimizer]", groups: list[Any], given: Mapping[str, Any]
    ) -> "Optimizer":
        """The optimiser for parameters or groups of them, with these extra arguments."""
        kwargs: dict[str, Any] = {
            name: tuple(cast("list[Any]", value)) if isinstance(value, list) else value
            for name, value in given.items()
        }
        if "fused" in inspect.signature(cls).parameters and "foreach" not in kwargs:
            kwargs.setdefault("fused", True)  # one pass over the memory: twice as fast on a CPU too
        return cast("Any", cls)(groups, lr=self.lr, **kwargs)

    def _try_steps(self, device: "torch.device", *, without: Collection[str] = ()) -> None:
        cls = self._optimizer_class()
        kwargs = self.optimizer_kwargs or {}
        given = {name: value for name, value in kwargs.items() if name not in without}

        def make(parameters: "list[torch.Tensor]", some: Mapping[str, Any]) -> "Optimizer":
            return self._make(cls, parameters, some)

        if wrong := list(optimizer_arguments.failing(cls, given, make, device)):
            raise UserError("\n".join(wrong))

    def lr_factor(self, total_steps: int) -> Callable[[int], float]:
        """The learning rate as a share of `lr`: a function of the steps done, 0 … total_steps − 1.

        Raises:
            UserError: there is no such schedule, or the warm-up is longer than the training.
        """
        if self.schedule not in get_args(Schedule):
            raise UserError(
                f"opt.schedule cannot be {self.schedule!r}. "
                + did_you_mean(str(self.schedule), get_args(Schedule))
            )
        is_share = isinstance(self.warmup, float)
        warmup_steps = round(self.warmup * total_steps) if is_share else int(self.warmup)
        if warmup_steps > total_steps:
            raise UserError(
                f"opt.warmup={self.warmup} is longer than the {total_steps} steps of the training."
            )
        schedule = self.schedule
        final = self.final_lr_ratio

        def factor(step: int) -> float:
            if schedule == "one_cycle":
                return _one_cycle(step, total_steps)
            if step < warmup_steps:
                return (step + 1) / warmup_steps
            if schedule == "constant":
                return 1.0
            progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
            if schedule == "linear":
                return 1 - (1 - final) * progress
            return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

        return factor

    def _optimizer_class(self) -> "type[Optimizer]":
        import torch

        known = {
            name: member
            for name, member in vars(torch.optim).items()
            if isinstance(member, type)
            and issubclass(member, torch.optim.Optimizer)
            # LBFGS calls the model several times a step, SparseAdam takes sparse gradients only.
            and member not in (torch.optim.Optimizer, torch.optim.LBFGS, torch.optim.SparseAdam)
        }
        name = self.optimizer_cls.removeprefix(_PREFIX)
        if name not in known:
            raise UserError(
                f"opt.optimizer_cls: torch.optim has no '{name}' that works with a plain "
                "training step. " + did_you_mean(name, known)
            )
        cls = known[name]
        parameters = inspect.signature(cls).parameters
        # A differentiable step is part of the graph, which a plain training step never traverses.
        allowed = set(parameters) - {"params", "lr", "weight_decay", "differentiable"}
        given = self.optimizer_kwargs or {}
        for key in given:
            if key not in allowed:
                raise UserError(
                    f"opt.optimizer_kwargs: {name} has no argument '{key}'. "
                    + did_you_mean(key, allowed)
                )
        if wrong := list(optimizer_arguments.mistyped(cls, given)):
            raise UserError("\n".join(wrong))
        if self.weight_decay and "weight_decay" not in inspect.signature(cls).parameters:
            raise UserError(f"opt.weight_decay: {name} has no weight decay; set it to 0.")
        return cls


def _one_cycle(step: int, total_steps: int) -> float:
    """Cosine rise over the first 30 % of the steps, then cosine fall to almost nothing."""
    peak = _ONE_CYCLE_RISE * total_steps - 1
    if step <= peak:
        start, end, progress = _ONE_CYCLE_START, 1.0, step / peak
    else:
        start, end = 1.0, _ONE_CYCLE_END
        progress = (step - peak) / (total_steps - 1 - peak)
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
