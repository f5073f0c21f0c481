"""The blocks of LLaMA as a backbone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from typing_extensions import override

from runwright import factory, option
from runwright.domains.perturbation.backbone import BackboneFactory

if TYPE_CHECKING:
    from torch import nn


@factory("llama")
class LlamaBackbone(BackboneFactory):
    """Blocks of LLaMA (Touvron et al. 2023), without a causal mask and rotary positions."""

    num_hidden_layers: int = option(default=4, ge=1, le=1000, doc="number of blocks")
    num_attention_heads: int = option(default=8, ge=1, doc="heads of the queries")
    num_key_value_heads: int = option(
        default=8, ge=1, doc="heads of keys and values, each shared by several of the queries"
    )
    head_dim: int | None = option(
        default=None, ge=1, doc="width of a head; null is hidden_dim / num_attention_heads"
    )
    intermediate_size: int = option(default=2688, ge=1, doc="width of the gated MLP")
    layer_norm_eps: float = option(default=1e-6, gt=0, doc="what RMSNorm adds to the mean square")
    attention_dropout: float = option(default=0.0, ge=0, lt=1, doc="dropout of attention weights")
    hidden_dropout: float = option(
        default=0.0, ge=0, lt=1, doc="dropout of what attention and MLP add to a token"
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.num_attention_heads % self.num_key_value_heads:
            yield (
                f"`num_attention_heads`={self.num_attention_heads} must be a multiple of "
                f"`num_key_value_heads`={self.num_key_value_heads}"
            )

    @override
    def problems_with(self, hidden_dim: int) -> Iterator[str]:
        if self.head_dim is None and hidden_dim % self.num_attention_heads:
            yield (
                f"`hidden_dim`={hidden_dim} must be a multiple of `backbone.num_attention_heads`="
                f"{self.num_attention_heads}, unless `backbone.head_dim` is given"
            )

    @override
    def build(self, hidden_dim: int) -> "nn.Module":
        from runwright.domains.perturbation.llama_blocks import Llama

        return Llama(
            hidden_dim,
            num_layers=self.num_hidden_layers,
            num_heads=self.num_attention_heads,
            num_key_value_heads=self.num_key_value_heads,
            head_dim=self.head_dim or hidden_dim // self.num_attention_heads,
            mlp_dim=self.intermediate_size,
            norm_eps=self.layer_norm_eps,
            attention_dropout=self.attention_dropout,
            dropout=self.hidden_dropout,
        )
