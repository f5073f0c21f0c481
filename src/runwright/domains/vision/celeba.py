"""CelebA: faces with 40 attributes (Liu et al. 2015, https://arxiv.org/abs/1411.7766)."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from typing_extensions import override

from runwright import Data, DataModule, UserError, factory, option, require_extra
from runwright.domains.vision.augmentation import Augmentation
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runwright import Runtime

log = logging.getLogger(__name__)

_TRAIN, _VAL, _TEST = 0, 1, 2

# Evaluation needs no small batches: this many pixels fill a core or a GPU, but little memory.
_EVAL_PIXELS: Final = 2**21
_MAX_BYTES: Final = 2**40  # of one image: no machine has more memory


@factory("celeba")
class CelebADataModule(DataModule[ImageDims, ImageBatch]):
    """Photographs of faces: one attribute is the class, another defines the groups."""

    default_objective: ClassVar[str | None] = "classification"
    smaller_examples: ClassVar[str] = "smaller images (dm.default_res)"

    root: Path = option(
        harmless=True,
        default=Path("data"),
        doc="folder that contains torchvision's folder `celeba`",
    )
    superclass: CelebAttr = option(default=CelebAttr.SMILING, doc="attribute to predict")
    subclass: CelebAttr = option(
        default=CelebAttr.MALE, doc="attribute that divides each class into two groups"
    )
    default_res: int = option(default=224, ge=8, doc="width and height of the images, in pixels")
    download: bool = option(
        harmless=True, default=False, doc="whether torchvision may download CelebA to root"
    )
    split_seed: int | None = option(
        default=None, ge=0, doc="seed of a random split; null uses the official one"
    )
    cache_dir: Path | None = option(
        harmless=True,
        default=None,
        doc="folder for the decoded images; null uses root/celeba/cache",
    )
    augment: Augmentation = option(usual="none", doc="what is done to training images")
    batch_size: int = option(default=64, ge=1, doc="images per batch")
    num_workers: int = option(
        harmless=True, default=0, ge=0, le=256, doc="processes that read batches; 0 is a thread"
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.superclass is self.subclass:
            yield f"`superclass` and `subclass` must differ, both are {self.superclass.name}"
        num_bytes = 4 * 3 * self.default_res**2
        if num_bytes > _MAX_BYTES:
            yield (
                f"`default_res`={self.default_res} makes every image {num_bytes / 2**30:,.0f} GiB, "
                "more than any memory holds. CelebA's are 178 pixels wide"
            )

    @override
    def problems_in(self, config: Any) -> Iterator[str]:
        yield from self.augment.problems_with(config.objective)

    @override
    def expected_dims(self) -> ImageDims:
        return ImageDims(
            channels=3,
            height=self.default_res,
            width=self.default_res,
            num_classes=2,
            num_groups=4,
            class_names=self.superclass.names,
            group_names=tuple(
                f"{name}, {other}"
                for name in self.superclass.names
                for other in self.subclass.names
            ),
        )

    @override
    def check_sources(self) -> None:
        from runwright.domains.vision import celeba_files

        if not self.download:
            celeba_files.require_files(self.root / "celeba", self.root)

    @override
    def build(self, runtime: "Runtime") -> Data[ImageDims, ImageBatch]:
        """Read the attributes, decode the images unless they are cached, and split them."""
        import numpy as np

        from runwright.domains.vision import celeba_files
        from runwright.domains.vision.celeba_layout import (
            SIMULATED,
            read_attributes,
            read_partition,
        )
        from runwright.domains.vision.image_cache import decoded_images
        from runwright.domains.vision.mapped import MappedImages
        from runwright.domains.vision.pictures import draw_training_images

        require_extra("PIL", "vision", "dm=celeba")
        folder = self.root / "celeba"
        if self.download:
            celeba_files.download(self.root)
        celeba_files.require_files(folder, self.root)
        if (folder / SIMULATED).exists():
            log.info("The images in %s are simulated: cartoon faces, not CelebA.", folder)
        names, values = read_attributes(folder, [self.superclass, self.subclass])
        for option_name, share in zip(("superclass", "subclass"), values.mean(axis=0), strict=True):
            if share in (0, 1):
                raise self._does_not_vary(option_name, "none" if share == 0 else "each", folder)
        superclass, subclass = values.astype(np.int64).T
        partition = self._partition(read_partition(folder, names))
        files = celeba_files.image_files(folder, names)
        shape = (3, self.default_res, self.default_res)
        images = decoded_images(files, shape, self.cache_dir or folder / "cache")

        dims = self.expected_dims()
        preparation = self.augment.prepare(
            dims,
            mean=[0.5],
            std=[0.5],
            seed=runtime.seed,
            num_examples=int((partition == _TRAIN).sum()),
            device=runtime.device,
        )

        def split(part: int, batch_size: int, shuffle_seed: int | None) -> MappedImages:
            rows = np.flatnonzero(partition == part)
            return MappedImages(
                images,
                rows,
                labels=superclass[rows],
                groups=(2 * superclass + subclass)[rows],
                batch_size=batch_size,
                shuffle_seed=shuffle_seed,
                device=runtime.device,
                num_workers=self.num_workers,
                preparation=preparation if part == _TRAIN else preparation.unaugmented(),
            )

        eval_batch = max(1, min(500, _EVAL_PIXELS // self.default_res**2))
        train = split(_TRAIN, self.batch_size, runtime.seed)
        val, test = (split(part, eval_batch, None) for part in (_VAL, _TEST))
        return Data(
            dims=dims,
            train=train,
            val=val if len(val) else None,
            test=test if len(test) else None,
            draw_examples=lambda path: draw_training_images(train, dims, path),
        )

    def _does_not_vary(self, option_name: str, how_many: str, folder: Path) -> UserError:
        from runwright.domains.vision.celeba_layout import ATTRIBUTES, SIMULATED

        attribute: CelebAttr = getattr(self, option_name)
        text = f"dm.{option_name}={attribute.name} divides nothing: {how_many} of the images in "
        if (folder / SIMULATED).exists():
            return UserError(
                f"{text}{folder} has it. They are simulated; {SIMULATED} next to them says in "
                "which attributes they differ."
            )
        return UserError(f"{text}{folder / ATTRIBUTES} has it. Choose another attribute.")

    def _partition(self, official: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """The part that each image is in: the official one, or a random one of the same sizes."""
        import numpy as np

        if self.split_seed is None:
            return official
        return np.random.default_rng(self.split_seed).permutation(official)
