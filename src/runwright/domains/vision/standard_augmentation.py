"""The usual augmentation of images."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

from typing_extensions import override

from runwright import UserError, factory, option
from runwright.domains.vision.augmentation import Augmentation
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    import torch

    from runwright.domains.vision.preparation import Augment

_MAGNITUDE: Final = 9

Flip = Literal["none", "random", "alternating"]
Padding = Literal["reflect", "zeros"]


@factory("standard")
class StandardAugmentation(Augmentation):
    """Crop, flip, RandAugment, cutout, mixup, in this order; each can be left out."""

    crop: int = option(
        default=4,
        ge=0,
        doc="by how many pixels the image is shifted at most, in each direction; 0 leaves it",
    )
    padding: Padding = option(
        default="reflect", doc="what fills the margin of a shifted image: itself, mirrored, or 0"
    )
    flip: Flip = option(
        default="random",
        doc="mirror the image at random in every epoch, or in every other epoch (Jordan 2024)",
    )
    rand_augment: int = option(
        default=0, ge=0, le=16, doc="operations of RandAugment for each image; 0 is none"
    )
    magnitude: int = option(default=_MAGNITUDE, ge=0, le=30, doc="how strong those operations are")
    cutout: int = option(
        default=0, ge=0, doc="side of a square that is blanked out, in pixels; 0 is none"
    )
    mixup: float = option(
        default=0.0,
        ge=0,
        doc="α of mixup: each image is blended with another one, labels too; 0 is none",
    )

    @override
    def problems(self) -> Iterator[str]:
        if not self.rand_augment and self.magnitude != _MAGNITUDE:
            yield "`magnitude` has no effect with `rand_augment`=0"
        if not self.crop and self.padding != "reflect":
            yield "`padding` has no effect with `crop`=0"

    @property
    @override
    def mixes(self) -> float:
        return self.mixup

    @override
    def build(self, dims: ImageDims, mean: Sequence[float], device: "torch.device") -> "Augment":
        from runwright.domains.vision.augmenting import AugmentedImages

        if self.crop >= min(dims.height, dims.width):
            raise UserError(
                f"dm.augment.crop={self.crop} must be less than the {min(dims.height, dims.width)} "
                "pixels of an image."
            )
        return AugmentedImages(
            dims,
            mean,
            device,
            crop=self.crop,
            reflects=self.padding == "reflect",
            flip=self.flip,
            num_ops=self.rand_augment,
            magnitude=self.magnitude,
            cutout=self.cutout,
        )
