"""What a model must beat, as models of the same group: chosen, run and measured like any other."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from typing_extensions import override

from runwright import ModelFactory, UserError, factory, option, settings
from runwright.domains.perturbation.dims import PerturbationDims

if TYPE_CHECKING:
    from runwright.domains.perturbation.baselines import Floats
    from runwright.domains.perturbation.profile_model import ProfileModel


@settings
class BaselineFactory(ModelFactory[PerturbationDims]):
    """A model that is fitted by the mean profiles of the training data; an epoch has them all."""

    @abstractmethod
    def predict(self, training: "Floats", control: "Floats", vectors: "Floats") -> "Floats":
        """The mean profiles of all pairs; see `baselines`.

        Args:
            training: (C, P, G), the mean profiles; NaN for pairs that were not trained on.
            control: (C, G), the mean profiles of the control cells.
            vectors: (P, F), the vectors of the perturbations.
        """

    @override
    def build(self, dims: PerturbationDims) -> "ProfileModel":
        """Build the model, which knows nothing yet.

        Raises:
            UserError: genes are to be decoded from an embedding.
        """
        from runwright.domains.perturbation.profile_model import ProfileModel

        if dims.decoded_genes is not None:
            raise UserError(
                "Baselines predict the cells that they are given, and decode no genes from an "
                "embedding. Use dm.embed_key=null, or dm.output_space=embedding."
            )
        return ProfileModel(dims, self.predict)


@factory("perturb_mean")
class PerturbMeanFactory(BaselineFactory):
    """The mean effect that the perturbation has in the cell types that were trained on."""

    @override
    def predict(self, training: "Floats", control: "Floats", vectors: "Floats") -> "Floats":
        from runwright.domains.perturbation.baselines import perturb_mean

        del vectors
        return perturb_mean(training, control)


@factory("context_mean")
class ContextMeanFactory(BaselineFactory):
    """The mean profile of the perturbations that the cell type was trained on."""

    @override
    def predict(self, training: "Floats", control: "Floats", vectors: "Floats") -> "Floats":
        from runwright.domains.perturbation.baselines import context_mean

        del vectors
        return context_mean(training, control)


@factory("pert_ridge")
class PertRidgeFactory(BaselineFactory):
    """Ridge regression of the effect on the vector of the perturbation and the cell type."""

    penalty: float = option(default=1.0, gt=0, doc="weight of the squared coefficients")

    @override
    def predict(self, training: "Floats", control: "Floats", vectors: "Floats") -> "Floats":
        from runwright.domains.perturbation.baselines import ridge

        return ridge(training, control, vectors, penalty=self.penalty)
