"""What is done to training images, drawn anew in every epoch: the interface, and nothing at all."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, final

from typing_extensions import override

from runwright import Settings, factory, settings
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    import torch

    from runwright.domains.vision.preparation import Augment, Preparation


@settings
class Augmentation(Settings, ABC, group="dm/augment"):
    """Interface of what is done to training images; the group `dm/augment`.

    An example's augmentation must be a function of the example and its draws: so it is the same in
    a batch of any size, in any number of processes, and after a run was resumed. What is built
    works on a whole batch on the device, with fixed shapes, and without waiting for the device.
    """

    @property
    def mixes(self) -> float:
        """The α of mixup (Zhang et al. 2018); 0 is none.

        The data do it after the rest, as it needs a second image with a label of its own.
        """
        return 0.0

    @abstractmethod
    def build(
        self, dims: ImageDims, mean: Sequence[float], device: "torch.device"
    ) -> "Augment | None":
        """Build it for images of these Dims; None leaves them as they are.

        Draws number 62 and 63 are those of mixup.

        Args:
            dims: the images and their classes.
            mean: the colour that normalisation turns into 0, as a share of 255 for each channel.
            device: where the images are.

        Raises:
            UserError: the options do not fit the images.
        """

    @final
    def prepare(
        self,
        dims: ImageDims,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        seed: int,
        num_examples: int,
        device: "torch.device",
    ) -> "Preparation":
        """What is done to training images: this, and their normalisation.

        Args:
            dims: the images and their classes.
            mean: what is subtracted, in 0 … 1, for each channel or for all.
            std: what they are divided by then, likewise.
            seed: the seed of the run.
            num_examples: the number of training images.
            device: where they are trained on.

        Raises:
            UserError: the options do not fit the images.
        """
        from runwright.domains.vision.preparation import Mixup, Normalization, Preparation

        colors = list(mean) * (dims.channels // len(mean))
        return Preparation(
            normalization=Normalization.of(mean, std, device),
            seed=seed,
            augment=self.build(dims, colors, device),
            mixup=Mixup(self.mixes, num_examples, device) if self.mixes else None,
        )

    @final
    def problems_with(self, objective: object) -> Iterator[str]:
        """Yield what is wrong with the option `augment` of data beside an objective."""
        if self.mixes and not getattr(objective, "takes_mixed_labels", False):
            yield (
                "`augment` blends images, which then have two labels, of which the objective would "
                "use only one; objective=classification takes both"
            )


@factory("none")
class NoAugmentation(Augmentation):
    """Training images as they are."""

    @override
    def build(self, dims: ImageDims, mean: Sequence[float], device: "torch.device") -> None:
        return None
