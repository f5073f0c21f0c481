"""A third domain: token fields, a list of losses, and heads of the model that follow from them."""

from typing import Any

import attrs
import torch
from torch import Tensor, nn

import runwright as rw


@attrs.frozen(kw_only=True)
class TokenDims(rw.Dims):
    fields: dict[str, int]  # name → size of the vocabulary
    heads: tuple[str, ...] = ()  # the fields that the model predicts


@attrs.frozen(kw_only=True)
class TokenBatch(rw.Batch):
    genes: Tensor  # (B, L), int64
    levels: Tensor  # (B, L), int64


@rw.factory("toy_tokens")
class ToyTokens(rw.DataModule[TokenDims, TokenBatch]):
    """Random genes; the level of a gene is a function of it."""

    default_objective = "token_losses"

    def expected_dims(self) -> TokenDims:
        return TokenDims(fields={"genes": 12, "levels": 4})

    def build(self, runtime: rw.Runtime) -> rw.Data[TokenDims, TokenBatch]:
        genes = torch.randint(12, (64, 6), generator=torch.Generator().manual_seed(0))
        cells = TokenBatch(genes=genes, levels=genes % 4).to(runtime.device)
        train = rw.InMemory(cells, batch_size=8, shuffle_seed=runtime.seed)
        val = rw.InMemory(cells, batch_size=64, shuffle_seed=None)
        return rw.Data(dims=self.expected_dims(), train=train, val=val)


@rw.settings
class Body(rw.Settings, group="model/body"):
    """What lies between the embedding and the heads."""


@rw.factory("linear")
class LinearBody(Body):
    """A linear layer."""

    bias: bool = rw.option(default=True, doc="whether it has a bias")


@rw.factory("deep")
class DeepBody(Body):
    """Several linear layers."""

    layers: int = rw.option(default=2, ge=1, doc="number of layers")


@rw.factory("token_model")
class TokenModel(rw.ModelFactory[TokenDims]):
    """An embedding, a body, and a head for each field that is predicted."""

    body: Body = rw.option(usual="linear", doc="the layers before the heads")

    def build(self, dims: TokenDims) -> nn.Module:
        depth = self.body.layers if isinstance(self.body, DeepBody) else 1
        body = nn.Sequential(nn.Embedding(12, 8), *(nn.Linear(8, 8) for _ in range(depth)))
        heads = {name: nn.Linear(8, dims.fields[name]) for name in dims.heads}
        return nn.ModuleDict({"body": body, **heads})


@rw.settings
class LossCfg(rw.Settings):
    """One loss."""

    field: str = rw.option(default="levels", doc="the field that is predicted")
    weight: float = rw.option(default=1.0, ge=0, doc="its share in the sum")
    kwargs: dict[str, Any] = rw.option(default={}, doc="arguments of cross_entropy")


@rw.factory("token_losses")
class TokenLosses(rw.ObjectiveFactory[TokenDims, TokenBatch]):
    """A weighted sum of cross entropies."""

    losses: list[LossCfg] = rw.option(default=[LossCfg()], doc="the losses")

    def for_model(self, dims: TokenDims) -> TokenDims:
        for one in self.losses:
            if one.field not in dims.fields:
                hint = rw.did_you_mean(one.field, dims.fields)
                raise rw.UserError(f"objective.losses: there is no field '{one.field}'. {hint}")
        return attrs.evolve(dims, heads=tuple({one.field: 0 for one in self.losses}))

    def build(self, dims: TokenDims, device: torch.device) -> "WeightedSum":
        return WeightedSum(self.losses)


class WeightedSum(rw.Objective[TokenBatch]):
    monitor, higher_is_better = "loss", {"loss": False}

    def __init__(self, cfgs: list[LossCfg]) -> None:
        self.cfgs = cfgs

    def losses(self, model: nn.Module, batch: TokenBatch) -> dict[str, Tensor]:
        assert isinstance(model, nn.ModuleDict)
        hidden, terms = model["body"](batch.genes), dict[str, Tensor]()
        for number, one in enumerate(self.cfgs):
            logits, labels = model[one.field](hidden), getattr(batch, one.field)
            loss = nn.functional.cross_entropy(logits.mT, labels, **one.kwargs)
            terms[f"{one.field}_{number}"] = one.weight * loss
        return {"loss": torch.stack([*terms.values()]).sum(), **terms}
