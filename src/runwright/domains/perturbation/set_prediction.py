"""The objective of predicting perturbed cells."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

from typing_extensions import override

from runwright import ObjectiveFactory, UserError, factory, option
from runwright.domains.perturbation.batch import CellSets
from runwright.domains.perturbation.dims import PerturbationDims

if TYPE_CHECKING:
    import torch

    from runwright.domains.perturbation.objective import SetPrediction

_BLUR: Final = 0.05
_DECODER_LOSS_WEIGHT: Final = 1.0
_CONFIDENCE_WEIGHT: Final = 0.01


@factory("perturbation")
class SetPredictionFactory(ObjectiveFactory[PerturbationDims, CellSets]):
    """How far the predicted set of cells is from the set of perturbed ones."""

    writes = (r"effects_\w+\.csv", r"adata_(pred|real)_\w+\.h5ad")

    loss: Literal["energy", "sinkhorn", "gaussian", "laplacian", "mse", "se"] = option(
        default="energy",
        doc="distance of two sets: energy distance; Sinkhorn divergence; MMD with a Gaussian or "
        "Laplacian kernel; mean squared error, cell by cell; 0.01 sinkhorn + energy (se)",
    )
    blur: float = option(
        default=_BLUR, gt=0, doc="distance below which cells count as one, for sinkhorn and se"
    )
    regularization: float = option(
        default=0.0, ge=0, doc="weight of the mean absolute change of the control cells"
    )
    decoder_loss_weight: float = option(
        default=_DECODER_LOSS_WEIGHT,
        ge=0,
        doc="weight of the same loss of the genes that are decoded from an embedding",
    )
    confidence_weight: float = option(
        default=_CONFIDENCE_WEIGHT,
        ge=0,
        doc="weight of the squared error of the loss that a confidence token predicts",
    )
    cell_eval: bool = option(
        harmless=True,
        default=False,
        doc="whether the package cell-eval computes the measures of effects; runwright computes "
        "the same ones faster",
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.blur != _BLUR and self.loss not in ("sinkhorn", "se"):
            yield f"`blur` has no effect with `loss`={self.loss}, only with sinkhorn and se"

    @override
    def problems_in(self, config: Any) -> Iterator[str]:
        has_token = getattr(config.model, "confidence_token", False)
        if self.confidence_weight != _CONFIDENCE_WEIGHT and not has_token:
            yield "`confidence_weight` has no effect without `model.confidence_token`=true"

    @override
    def preflight(self) -> None:
        if self.cell_eval:
            from runwright.domains.perturbation.cell_eval_table import require_cell_eval

            require_cell_eval()

    @override
    def build(self, dims: PerturbationDims, device: "torch.device") -> "SetPrediction":
        from runwright.domains.perturbation.objective import SetPrediction
        from runwright.domains.perturbation.set_losses import set_loss

        if self.decoder_loss_weight != _DECODER_LOSS_WEIGHT and dims.decoded_genes is None:
            raise UserError(
                "objective.decoder_loss_weight would have no effect: with these data no genes are "
                "decoded from an embedding. Leave it out, or choose data that are an embedding of "
                "cells and have the genes besides."
            )
        return SetPrediction(
            dims,
            set_loss(self.loss, blur=self.blur),
            device,
            regularization=self.regularization,
            decoder_loss_weight=self.decoder_loss_weight,
            confidence_weight=self.confidence_weight,
            by_cell_eval=self.cell_eval,
        )
