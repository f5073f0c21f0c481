"""The blocks of GPT-2 as a backbone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from typing_extensions import override

from runwright import factory, option
from runwright.domains.perturbation.backbone import BackboneFactory

if TYPE_CHECKING:
    from torch import nn


@factory("gpt2")
class GPT2Backbone(BackboneFactory):
    """Blocks of GPT-2 (Radford et al. 2019), without a causal mask and positions."""

    n_layer: int = option(default=8, ge=1, le=1000, doc="number of blocks")
    n_head: int = option(default=8, ge=1, doc="heads of the attention")
    resid_pdrop: float = option(
        default=0.0, ge=0, lt=1, doc="dropout of what attention and MLP add to a token"
    )
    embd_pdrop: float = option(
        default=0.0, ge=0, lt=1, doc="dropout of the tokens before the first block"
    )
    attn_pdrop: float = option(default=0.0, ge=0, lt=1, doc="dropout of attention weights")

    @override
    def problems_with(self, hidden_dim: int) -> Iterator[str]:
        if hidden_dim % self.n_head:
            yield (
                f"`hidden_dim`={hidden_dim} must be a multiple of `backbone.n_head`={self.n_head}"
            )

    @override
    def build(self, hidden_dim: int) -> "nn.Module":
        from runwright.domains.perturbation.gpt2_blocks import GPT2

        return GPT2(
            hidden_dim,
            num_layers=self.n_layer,
            num_heads=self.n_head,
            dropout=self.resid_pdrop,
            input_dropout=self.embd_pdrop,
            attention_dropout=self.attn_pdrop,
        )
