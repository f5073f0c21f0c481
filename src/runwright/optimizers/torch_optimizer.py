"""The optimisers of torch, `opt=torch`: what a training has unless another is chosen."""

import inspect
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from typing_extensions import override

from runwright.errors import UserError, did_you_mean
from runwright.factory import factory, option
from runwright.optimizers import optimizer_arguments
from runwright.optimizers.schedules import ScheduledOptimizer

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer

_PREFIX: Final = "torch.optim."


def _all_arguments(options: Mapping[str, Any]) -> dict[str, str]:
    """The extra arguments of every optimiser; those of others than the chosen, with their names."""
    owners: dict[str, list[str]] = {}
    for owner, cls in _optimizer_classes().items():
        for argument in _arguments_of(cls):
            owners.setdefault(argument, []).append(owner)
    chosen = str(options["optimizer_cls"]).removeprefix(_PREFIX)
    return {
        argument: "" if chosen in names else f"optimizer_cls={'|'.join(sorted(names))}"
        for argument, names in owners.items()
    }


def _arguments_of(cls: "type[Optimizer]") -> set[str]:
    """The extra arguments that an optimiser takes."""
    # A differentiable step is part of the graph, which a plain training step never traverses.
    others = {"params", "lr", "weight_decay", "differentiable"}
    return set(inspect.signature(cls).parameters) - others


def _optimizer_classes() -> "dict[str, type[Optimizer]]":
    """The optimisers that work with a plain training step, by name."""
    import torch

    return {
        name: member
        for name, member in vars(torch.optim).items()
        if isinstance(member, type)
        and issubclass(member, torch.optim.Optimizer)
        # LBFGS calls the model several times a step, SparseAdam takes sparse gradients only.
        and member not in (torch.optim.Optimizer, torch.optim.LBFGS, torch.optim.SparseAdam)
    }


@factory("torch")
class TorchOptimizer(ScheduledOptimizer):
    """An optimiser from torch.optim and its learning-rate schedule."""

    optimizer_cls: str = option(
        default="torch.optim.AdamW", doc="name of a subclass of torch.optim.Optimizer"
    )
    optimizer_kwargs: dict[str, Any] | None = option(
        default={},
        doc="extra arguments for the optimiser, e.g. {betas: [0.9, 0.95]}",
        keys=_all_arguments,
    )

    @override
    def problems(self) -> Iterator[str]:
        yield from super().problems()
        name = self.optimizer_cls.removeprefix(_PREFIX)
        if not name.isidentifier():
            yield (
                f"`optimizer_cls` must name a class in torch.optim, such as torch.optim.AdamW, "
                f"got '{self.optimizer_cls}'"
            )
        given = set(self.optimizer_kwargs or {})
        for own in sorted(given & {"lr", "weight_decay", "params"}):
            yield f"`optimizer_kwargs` must not contain '{own}'; use `{own}`"

    @override
    def preflight(self) -> None:
        import torch

        # What works only on a GPU is tried there, when the optimiser is built.
        self._try_steps(torch.device("cpu"), without=("capturable",))

    @override
    def check_on(self, device: "torch.device") -> None:
        """Check that the optimiser accepts its arguments, with two steps on small parameters.

        Raises:
            UserError: it does not; names the argument and its default.
        """
        self._try_steps(device)

    @property
    @override
    def described(self) -> str:
        """The optimiser and what its state depends on, e.g. "SGD(momentum=0.9)"."""
        given = ", ".join(f"{k}={v}" for k, v in sorted((self.optimizer_kwargs or {}).items()))
        return f"{self.optimizer_cls.removeprefix(_PREFIX)}({given})"

    @override
    def build(self, model: "nn.Module") -> "Optimizer":
        """Build the optimiser for the model's trainable parameters, grouped.

        Raises:
            UserError: the optimiser is unknown, or rejects its arguments or the parameters.
        """
        first = next((p for p in model.parameters() if p.requires_grad), None)
        if first is not None and not first.is_meta:
            self.check_on(first.device)
        cls = self._optimizer_class()
        groups = self.parameter_groups(model)
        if "weight_decay" not in inspect.signature(cls).parameters:
            for group in groups:
                del group["weight_decay"]
        try:
            return self._make(cls, groups, self.optimizer_kwargs or {})
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

    def _owners_of(self, argument: str) -> str:
        """A sentence with the optimisers that take an argument, unless none does."""
        needed = _all_arguments(vars(self)).get(argument)
        return f" With '{argument}': opt.{needed}." if needed else ""

    def _optimizer_class(self) -> "type[Optimizer]":
        known = _optimizer_classes()
        name = self.optimizer_cls.removeprefix(_PREFIX)
        if name not in known:
            raise UserError(
                f"opt.optimizer_cls: torch.optim has no '{name}' that works with a plain "
                "training step. " + did_you_mean(name, known)
            )
        cls = known[name]
        allowed = _arguments_of(cls)
        given = self.optimizer_kwargs or {}
        for key in given:
            if key not in allowed:
                raise UserError(
                    f"opt.optimizer_kwargs: {name} has no argument '{key}'. "
                    + did_you_mean(key, allowed)
                    + self._owners_of(key)
                )
        if wrong := list(optimizer_arguments.mistyped(cls, given)):
            raise UserError("\n".join(wrong))
        if self.weight_decay and "weight_decay" not in inspect.signature(cls).parameters:
            raise UserError(f"opt.weight_decay: {name} has no weight decay; set it to 0.")
        return cls
