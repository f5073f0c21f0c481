"""The blocks of LLaMA (Touvron et al. 2023) over a set: every cell sees all, and none has a place.

Pre-normalisation with RMSNorm (Zhang & Sennrich 2019), grouped-query attention (Ainslie et al.
2023), an MLP with SwiGLU (Shazeer 2020), no biases.
"""

import re
from collections.abc import Mapping
from typing import Final

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from runwright.domains.perturbation.attention import attend

# Names in the `LlamaModel` of the transformers package, and here.
_HUGGING_FACE_NAMES: Final = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.o_proj": "attention.output",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.up",
    "mlp.down_proj": "mlp.down",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "mlp_norm",
}
_INIT_STD: Final = 0.02


class RMSNorm(nn.RMSNorm):
    """Normalises in the precision of what it gets, with the fast kernel.

    Under autocast to bfloat16 the weights stay float32, and torch's own would take the slow way.
    """

    @override
    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class LlamaAttention(nn.Module):
    """Grouped-query attention."""

    def __init__(
        self,
        hidden_dim: int,
        *,
        num_heads: int,
        num_key_value_heads: int,
        head_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.dropout = dropout
        self.query = nn.Linear(hidden_dim, num_heads * head_dim, bias=False)
        self.key = nn.Linear(hidden_dim, num_key_value_heads * head_dim, bias=False)
        self.value = nn.Linear(hidden_dim, num_key_value_heads * head_dim, bias=False)
        self.output = nn.Linear(num_heads * head_dim, hidden_dim, bias=False)

    @override
    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Map tokens (B, S, H) to what they are to add, (B, S, H)."""
        query, key, value = (
            layer(tokens).unflatten(-1, (-1, self.head_dim))
            for layer in (self.query, self.key, self.value)
        )
        dropout = self.dropout if self.training else 0.0
        return self.output(attend(query, key, value, mask, dropout=dropout))


class GatedMLP(nn.Module):
    """down(silu(gate(x)) · up(x))."""

    def __init__(self, hidden_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden_dim, mlp_dim, bias=False)
        self.up = nn.Linear(hidden_dim, mlp_dim, bias=False)
        self.down = nn.Linear(mlp_dim, hidden_dim, bias=False)

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (…, H) to what they are to add, (…, H)."""
        return self.down(functional.silu(self.gate(tokens)) * self.up(tokens))


class LlamaBlock(nn.Module):
    """Attention, then an MLP; each adds to the tokens that it gets normalised."""

    def __init__(
        self,
        hidden_dim: int,
        *,
        num_heads: int,
        num_key_value_heads: int,
        head_dim: int,
        mlp_dim: int,
        norm_eps: float,
        attention_dropout: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(hidden_dim, eps=norm_eps)
        self.attention = LlamaAttention(
            hidden_dim,
            num_heads=num_heads,
            num_key_value_heads=num_key_value_heads,
            head_dim=head_dim,
            dropout=attention_dropout,
        )
        self.mlp_norm = RMSNorm(hidden_dim, eps=norm_eps)
        self.mlp = GatedMLP(hidden_dim, mlp_dim)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Map tokens (B, S, H) to tokens (B, S, H)."""
        tokens = tokens + self.dropout(self.attention(self.attention_norm(tokens), mask))
        return tokens + self.dropout(self.mlp(self.mlp_norm(tokens)))


class Llama(nn.Module):
    """Blocks, and a last normalisation."""

    def __init__(
        self,
        hidden_dim: int,
        *,
        num_layers: int,
        num_heads: int,
        num_key_value_heads: int,
        head_dim: int,
        mlp_dim: int,
        norm_eps: float,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            LlamaBlock(
                hidden_dim,
                num_heads=num_heads,
                num_key_value_heads=num_key_value_heads,
                head_dim=head_dim,
                mlp_dim=mlp_dim,
                norm_eps=norm_eps,
                attention_dropout=attention_dropout,
                dropout=dropout,
            )
            for _ in range(num_layers)
        )
        self.final_norm = RMSNorm(hidden_dim, eps=norm_eps)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=_INIT_STD)

    @override
    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens (B, S, H) to tokens (B, S, H); see `BackboneFactory.build`."""
        for layer in self.layers:
            tokens = layer(tokens, mask)
        return self.final_norm(tokens)


def from_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `LlamaModel` of the transformers package, under the names of `Llama`.

    Args:
        weights: its `state_dict()`, also of a model that holds it as `model`. What is not in the
            blocks (the embedding of words) is left out.
    """
    renamed: dict[str, Tensor] = {}
    for name, weight in weights.items():
        inner = name.removeprefix("model.")
        if inner == "norm.weight":
            renamed["final_norm.weight"] = weight
        elif found := re.fullmatch(r"layers\.(\d+)\.(.+)\.weight", inner):
            renamed[f"layers.{found[1]}.{_HUGGING_FACE_NAMES[found[2]]}.weight"] = weight
    return renamed
