"""What a lab has of its own: an optimiser that is not torch's, a schedule, and a GAN's step."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CyclicLR

from runwright import (
    ModelFactory,
    ObjectiveFactory,
    OptimizerFactory,
    Schedule,
    ScheduledOptimizer,
    StepObjective,
    SteppedSchedule,
    Updates,
    factory,
    option,
)
from toy_domain import SetBatch, SetDims


class Averaging(Optimizer):
    """Gradient descent on the mean of the last gradients; its state is in lists and in groups."""

    def __init__(self, params: Any, lr: float, length: int) -> None:
        super().__init__(params, {"lr": lr, "length": length, "done": 0, "weights": (1.0,)})

    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # as many have it
        for group in self.param_groups:
            group["done"] += 1
            group["weights"] = (*group["weights"], 1 / group["done"])[-group["length"] :]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                last = self.state[parameter].setdefault("last", [])
                last.append(parameter.grad.clone())
                del last[: -group["length"]]
                parts = zip(last, group["weights"][-len(last) :], strict=False)
                total = sum(grad * weight for grad, weight in parts)
                parameter.data.sub_(total, alpha=group["lr"])  # pyright: ignore[reportArgumentType]


@factory("averaging")
class AveragingFactory(ScheduledOptimizer):
    """The mean of the last gradients."""

    length: int = option(default=3, ge=1, doc="how many gradients")

    def build(self, model: nn.Module) -> Optimizer:
        return Averaging(self.parameter_groups(model), lr=self.lr, length=self.length)


@factory("cyclic")
class Cyclic(OptimizerFactory):
    """Momentum that goes up while the learning rate goes down."""

    top: float = option(default=0.1, gt=0, doc="highest learning rate")

    def build(self, model: nn.Module) -> Optimizer:
        trained = [p for p in model.parameters() if p.requires_grad]
        return SGD(trained, lr=self.top, momentum=0.9)

    def build_schedule(
        self, optimizers: Mapping[str, Optimizer], total_steps: int, steps_per_epoch: int
    ) -> Schedule:
        cycle = CyclicLR(optimizers[""], 0.01, self.top, step_size_up=7, mode="exp_range")
        return SteppedSchedule(optimizers, [cycle])


@factory("forgetful")
class Forgetful(OptimizerFactory):
    """Leaves a part of the model out."""

    def build(self, model: nn.Module) -> Optimizer:
        return SGD([next(model.parameters())], lr=0.1)


@factory("apart")
class Apart(OptimizerFactory):
    """An optimiser for matrices, and one for the rest."""

    def build(self, model: nn.Module) -> Mapping[str, Optimizer]:
        matrices = [p for p in model.parameters() if p.ndim > 1]
        rest = [p for p in model.parameters() if p.ndim <= 1]
        return {"matrices": SGD(matrices, lr=0.1, momentum=0.9), "rest": Adam(rest, lr=0.01)}


@factory("poisoned")
class Poisoned(ModelFactory[SetDims]):
    """One layer; in the third step the gradient of its bias overflows."""

    def build(self, dims: SetDims) -> nn.Module:
        layer, steps = nn.Linear(dims.features, dims.features), itertools.count(1)

        def overflow(grad: Tensor) -> Tensor:
            return grad * torch.inf if next(steps) == 3 else grad

        layer.bias.register_hook(overflow)
        return layer


@factory("twice")
class Twice(OptimizerFactory):
    """Two optimisers of the same parameters."""

    def build(self, model: nn.Module) -> Mapping[str, Optimizer]:
        return {name: SGD(model.parameters(), lr=0.1) for name in ("one", "other")}


class Pair(nn.Module):
    """A generator of sets from noise, and a critic of them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, features))
        self.critic = nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, 1))


@factory("pair")
class PairFactory(ModelFactory[SetDims]):
    """A generator and a critic."""

    def build(self, dims: SetDims) -> nn.Module:
        return Pair(dims.features)


@factory("pair_of_adams")
class PairOfAdams(OptimizerFactory):
    """An Adam each for the generator and the critic."""

    lr: float = option(default=0.005, gt=0, doc="learning rate of the critic")

    def build(self, model: nn.Module) -> Mapping[str, Optimizer]:
        assert isinstance(model, Pair)
        return {
            "generator": Adam(model.generator.parameters(), lr=self.lr / 2, betas=(0.5, 0.9)),
            "critic": Adam(model.critic.parameters(), lr=self.lr, betas=(0.5, 0.9)),
        }


@factory("adversarial")
class AdversarialFactory(ObjectiveFactory[SetDims, SetBatch]):
    """The vectors of the sets, drawn from noise."""

    critic_updates: int = option(default=3, ge=1, doc="updates of the critic in a step")
    declared: int | None = option(default=None, doc="what it says of them, if that is wrong")

    def build(self, dims: SetDims, device: torch.device) -> "Adversarial":
        return Adversarial(self.critic_updates, self.declared)


class Adversarial(StepObjective[SetBatch]):
    monitor, higher_is_better = "loss", {"loss": False}
    optimizers = ("generator", "critic")

    def __init__(self, critic_updates: int, declared: int | None) -> None:
        self.critic_updates = critic_updates
        self.batches_per_step = declared or critic_updates + 1

    def step(self, updates: Updates[SetBatch]) -> None:
        for _ in range(self.critic_updates):
            updates.minimise(self.critic_losses, updates.batches(), "critic", loss="critic")
        updates.minimise(self.generator_losses, updates.batches(), "generator")

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        """How far the means of what is drawn and of what is real are apart."""
        drawn = self.drawn(model, batch)
        return {"loss": (drawn.mean((0, 1)) - batch.vectors.mean((0, 1))).square().sum()}

    def drawn(self, model: nn.Module, batch: SetBatch) -> Tensor:
        assert isinstance(model, Pair)
        noise = torch.randn(*batch.vectors.shape[:2], 2, device=batch.vectors.device)
        return model.generator(noise)

    def critic_losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        assert isinstance(model, Pair)
        assert not any(p.requires_grad for p in model.generator.parameters())
        real = nn.functional.softplus(-model.critic(batch.vectors)).mean()
        drawn = nn.functional.softplus(model.critic(self.drawn(model, batch))).mean()
        return {"critic": real + drawn, "real": real}

    def generator_losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        assert isinstance(model, Pair)
        assert not any(p.requires_grad for p in model.critic.parameters())
        return {"loss": nn.functional.softplus(-model.critic(self.drawn(model, batch))).mean()}


@factory("now_and_then")
class NowAndThenFactory(ObjectiveFactory[SetDims, SetBatch]):
    """Errors of sets, with a second update in every third step."""

    too_many: bool = option(default=False, doc="whether an update is given all batches")

    def build(self, dims: SetDims, device: torch.device) -> "NowAndThen":
        return NowAndThen(self.too_many)


class NowAndThen(StepObjective[SetBatch]):
    monitor, higher_is_better = "loss", {"loss": False}
    batches_per_step = 2

    def __init__(self, too_many: bool) -> None:
        self.too_many = too_many

    def step(self, updates: Updates[SetBatch]) -> None:
        first: Iterable[SetBatch]
        first, second = updates.batches(), updates.batches()
        if self.too_many:
            first = [*first, *second]
        updates.minimise(self.losses, first)
        if updates.number % 3 == 0:
            updates.minimise(self.losses, second)

    def losses(self, model: nn.Module, batch: SetBatch) -> dict[str, Tensor]:
        return {"loss": (model(batch.vectors) - batch.target).square().mean()}
