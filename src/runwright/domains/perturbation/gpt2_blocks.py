"""The blocks of GPT-2 (Radford et al. 2019) over a set: every cell sees all, and none has a place.

Pre-normalisation with LayerNorm, multi-head attention, an MLP of four times the width with the tanh
approximation of GELU (Hendrycks & Gimpel 2016).
"""

import math
import re
from collections.abc import Mapping
from typing import Final

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from runwright.domains.perturbation.attention import attend

# Names in the `GPT2Model` of the transformers package, and here.
_HUGGING_FACE_NAMES: Final = {
    "ln_1": "attention_norm",
    "attn.c_attn": "attention.query_key_value",
    "attn.c_proj": "attention.output",
    "ln_2": "mlp_norm",
    "mlp.c_fc": "mlp.up",
    "mlp.c_proj": "mlp.down",
}
_INIT_STD: Final = 0.02


class GPT2Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, hidden_dim: int, *, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query_key_value = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.output = nn.Linear(hidden_dim, hidden_dim)

    @override
    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Map tokens (B, S, H) to what they are to add, (B, S, H)."""
        three_times = self.query_key_value(tokens).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = three_times.unbind(2)
        dropout = self.dropout if self.training else 0.0
        return self.output(attend(query, key, value, mask, dropout=dropout))


class MLP(nn.Module):
    """down(gelu(up(x)))."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.up = nn.Linear(hidden_dim, 4 * hidden_dim)
        self.down = nn.Linear(4 * hidden_dim, hidden_dim)

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (…, H) to what they are to add, (…, H)."""
        return self.down(functional.gelu(self.up(tokens), approximate="tanh"))


class GPT2Block(nn.Module):
    """Attention, then an MLP; each adds to the tokens that it gets normalised."""

    def __init__(
        self, hidden_dim: int, *, num_heads: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden_dim)
        self.attention = GPT2Attention(hidden_dim, num_heads=num_heads, dropout=attention_dropout)
        self.mlp_norm = nn.LayerNorm(hidden_dim)
        self.mlp = MLP(hidden_dim)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Map tokens (B, S, H) to tokens (B, S, H)."""
        tokens = tokens + self.dropout(self.attention(self.attention_norm(tokens), mask))
        return tokens + self.dropout(self.mlp(self.mlp_norm(tokens)))


class GPT2(nn.Module):
    """Blocks, and a last normalisation."""

    def __init__(
        self,
        hidden_dim: int,
        *,
        num_layers: int,
        num_heads: int,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.input_dropout = nn.Dropout(input_dropout)
        self.layers = nn.ModuleList(
            GPT2Block(
                hidden_dim,
                num_heads=num_heads,
                dropout=dropout,
                attention_dropout=attention_dropout,
            )
            for _ in range(num_layers)
        )
        self.final_norm = nn.LayerNorm(hidden_dim)
        for name, parameter in self.layers.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                # Radford et al. 2019, section 2.3: what is added to the tokens begins smaller the
                # more there is to be added.
                adds = name.endswith(("attention.output.weight", "mlp.down.weight"))
                nn.init.normal_(parameter, std=_INIT_STD / math.sqrt(2 * num_layers if adds else 1))

    @override
    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens (B, S, H) to tokens (B, S, H); see `BackboneFactory.build`."""
        tokens = self.input_dropout(tokens)
        for layer in self.layers:
            tokens = layer(tokens, mask)
        return self.final_norm(tokens)


def from_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `GPT2Model` of the transformers package, under the names of `GPT2`.

    Args:
        weights: its `state_dict()`, also of a model that holds it as `transformer`. Its matrices
            are (inputs, outputs), and are transposed. What is not in the blocks (the embeddings of
            words and positions) is left out.
    """
    renamed: dict[str, Tensor] = {}
    for name, weight in weights.items():
        inner = name.removeprefix("transformer.")
        if found := re.fullmatch(r"ln_f\.(weight|bias)", inner):
            renamed[f"final_norm.{found[1]}"] = weight
            continue
        found = re.fullmatch(r"h\.(\d+)\.(.+)\.(weight|bias)", inner)
        if found is not None and found[2] in _HUGGING_FACE_NAMES:  # no mask of an old checkpoint
            layer = _HUGGING_FACE_NAMES[found[2]]
            renamed[f"layers.{found[1]}.{layer}.{found[3]}"] = weight.t()
    return renamed
