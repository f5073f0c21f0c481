"""STATE's transition network: from control cells and a perturbation to perturbed cells.

Adduri et al. 2025, "Predicting cellular responses to perturbation across diverse contexts with
STATE". In the shapes below, B is the number of sets, S that of the cells of each, G the length of a
cell, P that of a perturbation's vector, and H the width of the network.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from typing_extensions import override

from runwright.domains.perturbation.batch import Prediction
from runwright.domains.perturbation.dims import PerturbationDims

_DROPOUT: Final = 0.1
_INIT_STD: Final = 0.02


def build_mlp(in_features: int, hidden: int, out_features: int, num_layers: int) -> nn.Module:
    """A linear layer, or several with GELU and dropout between them."""
    if num_layers == 1:
        return nn.Linear(in_features, out_features)
    layers: list[nn.Module] = []
    for width in [in_features, *[hidden] * (num_layers - 2)]:
        layers += [nn.Linear(width, hidden), nn.GELU(), nn.Dropout(_DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(hidden, out_features))


def build_gene_decoder(
    in_features: int, hidden_dims: Sequence[int], num_genes: int
) -> nn.Sequential:
    """Decode the expression of genes, which is never negative, from an embedding."""
    last = nn.Linear([in_features, *hidden_dims][-1], num_genes)
    return nn.Sequential(*_norm_layers(in_features, hidden_dims), last, nn.ReLU())


def _norm_layers(in_features: int, widths: Sequence[int]) -> Iterator[nn.Module]:
    """Linear layers, each with normalisation, GELU and dropout after it."""
    for before, width in itertools.pairwise([in_features, *widths]):
        yield from (
            nn.Linear(before, width),
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Dropout(_DROPOUT),
        )


class ConfidenceToken(nn.Module):
    """A token that joins a set and sees all its cells; from it, the loss of the set is predicted.

    The cells see it as well. It is the same for every set, so it does not depend on their order.
    """

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, hidden_dim))
        nn.init.normal_(self.token, std=_INIT_STD)
        widths = [max(1, hidden_dim // 2), max(1, hidden_dim // 4)]
        self.head = nn.Sequential(*_norm_layers(hidden_dim, widths), nn.Linear(widths[-1], 1))

    def join(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Put the token behind tokens (B, S, H), and true behind the mask (B, S)."""
        own = self.token.to(tokens.dtype).expand(len(tokens), -1, -1)
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        return torch.cat([tokens, own], dim=1), mask

    @override
    def forward(self, token: Tensor) -> Tensor:
        """The loss that is expected of each set, (B,), from what the token became, (B, H).

        No loss is below 0. In training it may be, as from a 0 there it could not be learned.
        """
        expected = self.head(token).squeeze(-1)
        return expected if self.training else expected.relu()


class StateNetwork(nn.Module):
    """Encode control cells and perturbation, let the cells of a set see each other, project back.

    Attributes:
        pert_encoder: P → H.
        basal_encoder: G → H.
        batch_encoder: the embedding of the experimental batches, if there is one.
        backbone: (B, S, H) → (B, S, H).
        project_out: H → G.
        bottleneck: G → G/8 → G, where all genes are predicted.
        gene_decoder: G → genes, where they are decoded from an embedding.
        confidence: predicts the loss of each set, if it is to.
    """

    def __init__(
        self,
        dims: PerturbationDims,
        backbone: nn.Module,
        *,
        hidden_dim: int,
        n_encoder_layers: int = 4,
        n_decoder_layers: int = 4,
        predict_residual: bool = True,
        use_basal_projection: bool = False,
        batch_encoder: bool = False,
        confidence_token: bool = False,
        decoder_hidden_dims: Sequence[int] = (1024, 1024, 512),
        detach_decoder: bool = False,
    ) -> None:
        super().__init__()
        features = dims.features
        self.predicts_all_genes = dims.output_space == "all"
        self.is_expression = dims.is_expression
        self.predict_residual = predict_residual
        self.detach_decoder = detach_decoder
        self.pert_encoder = build_mlp(
            dims.perturbation_features, hidden_dim, hidden_dim, n_encoder_layers
        )
        self.basal_encoder = build_mlp(
            features, hidden_dim, hidden_dim, n_encoder_layers if use_basal_projection else 1
        )
        self.batch_encoder: nn.Embedding | None = None
        if batch_encoder:
            self.batch_encoder = nn.Embedding(dims.num_batches, hidden_dim)
            nn.init.normal_(self.batch_encoder.weight, std=_INIT_STD)
        self.backbone = backbone
        self.project_out = build_mlp(hidden_dim, hidden_dim, features, n_decoder_layers)
        self.bottleneck: nn.Module | None = None
        if self.predicts_all_genes:
            narrow = max(1, features // 8)
            self.bottleneck = nn.Sequential(
                nn.Linear(features, narrow), nn.GELU(), nn.Linear(narrow, features)
            )
        self.gene_decoder: nn.Module | None = None
        if dims.decoded_genes is not None:
            self.gene_decoder = build_gene_decoder(
                features, decoder_hidden_dims, dims.decoded_genes
            )
        self.confidence = ConfidenceToken(hidden_dim) if confidence_token else None

    @override
    def forward(
        self,
        basal: Tensor,
        perturbation: Tensor,
        batch: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Prediction:
        """Predict what a perturbation makes of control cells.

        Args:
            basal: (B, S, G), the control cells.
            perturbation: (B, P), the vector of the perturbation of each set.
            batch: (B, S), int64, the experimental batch of each cell; read by the batch encoder.
            mask: (B, S), bool, false in the padding, of which no real cell sees anything; None if
                there is none.

        Raises:
            ValueError: the network has a batch encoder, and there are no batches.
        """
        if mask is not None:
            basal = basal.masked_fill(~mask[..., None], 0)  # not even a NaN of it gets anywhere
        basal_tokens = self.basal_encoder(basal)
        tokens = basal_tokens + self.pert_encoder(perturbation)[:, None]
        if self.batch_encoder is not None:
            if batch is None:
                raise ValueError("A network with a batch encoder needs the batch of each cell.")
            tokens = tokens + self.batch_encoder(batch)
        confidence: Tensor | None = None
        if self.confidence is None:
            hidden = self.backbone(tokens, mask)
        else:
            joined = self.backbone(*self.confidence.join(tokens, mask))
            hidden, token = joined[:, :-1], joined[:, -1]
            confidence = self.confidence(token)
        cells = self._project(hidden, basal_tokens, basal)
        genes: Tensor | None = None
        if self.gene_decoder is not None:
            genes = self.gene_decoder(cells.detach() if self.detach_decoder else cells)
        return Prediction(cells, genes, confidence)

    def _project(self, hidden: Tensor, basal_tokens: Tensor, basal: Tensor) -> Tensor:
        """The predicted cells, (B, S, G), from what the backbone gives, (B, S, H)."""
        if not self.predict_residual:
            cells = self.project_out(hidden)
        elif self.predicts_all_genes:
            cells = self.project_out(hidden) + basal
        else:
            cells = self.project_out(hidden + basal_tokens)
        if self.bottleneck is not None:
            cells = self.bottleneck(cells)
        return cells.relu() if self.is_expression else cells
