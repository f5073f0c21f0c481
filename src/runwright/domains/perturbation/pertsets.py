"""STATE's transition model, in the two sizes that it is published in."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from runwright import ModelFactory, UserError, factory, option, settings
from runwright.domains.perturbation import gpt2 as _gpt2  # pyright: ignore[reportUnusedImport]  # noqa: F401  # it registers the usual backbones
from runwright.domains.perturbation import llama as _llama  # pyright: ignore[reportUnusedImport]  # noqa: F401
from runwright.domains.perturbation.backbone import BackboneFactory
from runwright.domains.perturbation.dims import PerturbationDims

if TYPE_CHECKING:
    from runwright.domains.perturbation.state_network import StateNetwork

_DECODER_DIMS: Final = (1024, 1024, 512)


@settings
class StateFactory(ModelFactory[PerturbationDims]):
    """The options of STATE's transition model (Adduri et al. 2025), whatever its size."""

    cell_set_len: int = option(default=512, ge=1, doc="cells in a set, for the data to follow")
    hidden_dim: int = option(default=328, ge=1, doc="width of the tokens")
    n_encoder_layers: int = option(
        default=4, ge=1, le=1000, doc="layers that encode the perturbation"
    )
    n_decoder_layers: int = option(
        default=4, ge=1, le=1000, doc="layers from the tokens to the cells"
    )
    predict_residual: bool = option(
        default=True, doc="whether to predict the change of the control cell"
    )
    use_basal_projection: bool = option(
        default=False,
        doc="whether to encode a cell with n_encoder_layers layers, instead of a linear one",
    )
    batch_encoder: bool = option(
        default=False, doc="whether to add an embedding of the experimental batch to each token"
    )
    confidence_token: bool = option(
        default=False, doc="whether to predict the loss of each set from a token of its own"
    )
    decoder_hidden_dims: list[int] = option(
        default=[*_DECODER_DIMS],
        ge=1,
        doc="widths of the layers that decode genes from an embedding",
    )
    detach_decoder: bool = option(
        default=False, doc="whether the loss of the decoded genes trains only their decoder"
    )
    freeze_pert_backbone: bool = option(
        default=False, doc="whether the backbone keeps the weights that it starts with"
    )
    backbone: BackboneFactory = option(usual="gpt2", doc="the transformer over a set of cells")

    @override
    def problems(self) -> Iterator[str]:
        yield from self.backbone.problems_with(self.hidden_dim)

    @override
    def problems_in(self, config: Any) -> Iterator[str]:
        if self.batch_encoder and getattr(config.dm, "batch_col", "") is None:
            yield "`batch_encoder` has no effect with `dm.batch_col`=null: there is one batch"

    @override
    def build(self, dims: PerturbationDims) -> "StateNetwork":
        """Build the network; see `StateNetwork`.

        Raises:
            UserError: an option of the gene decoder is set, and no genes are decoded.
        """
        from runwright.domains.perturbation.state_network import StateNetwork

        if dims.decoded_genes is None:
            self._refuse_options_of_decoder()
        network = StateNetwork(
            dims,
            self.backbone.build(self.hidden_dim),
            hidden_dim=self.hidden_dim,
            n_encoder_layers=self.n_encoder_layers,
            n_decoder_layers=self.n_decoder_layers,
            predict_residual=self.predict_residual,
            use_basal_projection=self.use_basal_projection,
            batch_encoder=self.batch_encoder,
            confidence_token=self.confidence_token,
            decoder_hidden_dims=self.decoder_hidden_dims,
            detach_decoder=self.detach_decoder,
        )
        if self.freeze_pert_backbone:
            network.backbone.requires_grad_(requires_grad=False)
        return network

    def _refuse_options_of_decoder(self) -> None:
        changed = {
            "model.decoder_hidden_dims": tuple(self.decoder_hidden_dims) != _DECODER_DIMS,
            "model.detach_decoder": self.detach_decoder,
        }
        if names := [name for name, is_changed in changed.items() if is_changed]:
            raise UserError(
                f"{' and '.join(names)} would have no effect: with these data no genes are decoded "
                "from an embedding. Leave it out, or choose data that are an embedding of cells "
                "and have the genes besides."
            )


@factory("pertsets")
class PertSetsFactory(StateFactory):
    """STATE's transition model on sets of 512 cells, with GPT-2's blocks."""


@factory("state_sm")
class StateSmallFactory(StateFactory):
    """STATE's transition model on sets of 128 cells, with LLaMA's blocks."""

    cell_set_len: int = option(default=128, ge=1, doc="cells in a set, for the data to follow")
    hidden_dim: int = option(default=672, ge=1, doc="width of the tokens")
    backbone: BackboneFactory = option(usual="llama", doc="the transformer over a set of cells")
