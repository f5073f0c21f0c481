"""What data modules of labelled images have in common: options, splits, augmentation."""

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from typing_extensions import override

from runwright import Data, DataModule, UserError, option, settings
from runwright.domains.vision.augmentation import Augmentation
from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.dims import ImageDims

if TYPE_CHECKING:
    from runwright import Runtime
    from runwright.domains.vision.device_images import DeviceImages
    from runwright.domains.vision.labelled_images import LabelledImages
    from runwright.domains.vision.mapped import MappedImages

# Evaluation needs no small batches: this many pixels fill a core or a GPU, but little memory.
_EVAL_PIXELS: Final = 2**21
_MAX_BYTES: Final = 2**40  # of one image: no machine has more memory
_ON_DEVICE: Final = 4 * 2**30
_IMAGES_OF_A_RATIO: Final = 4  # in which 1 / 0.333 is still three folds


Groups = Literal["none", "class"]


@settings
class ImageDataModule(DataModule[ImageDims, ImageBatch]):
    """Labelled images, decoded once into a memory map; each has one class."""

    default_objective: ClassVar[str | None] = "classification"
    smaller_examples: ClassVar[str] = "smaller images (dm.default_res)"

    root: Path = option(harmless=True, default=Path("data"), doc="folder of the data")
    default_res: int | None = option(
        default=None,
        ge=8,
        doc="width and height of the images, in pixels: the shorter side is resized, and the "
        "centre taken; null leaves them as they are, if all have one size",
    )
    val_prop: float | None = option(
        default=None,
        ge=0,
        lt=1,
        doc="fraction of the images to validate on, of all that are not for testing; null takes "
        "the published validation images, or 0.1 where there are none; 0 trains on all",
    )
    fold: int = option(
        default=0,
        ge=0,
        doc="which part of the images to validate on; with val_prop=0.2, 0 to 4 are 5 folds",
    )
    split_seed: int = option(
        default=0, ge=0, doc="seed of the splits, the same for every seed of the run"
    )
    mean: list[float] = option(
        default=[0.5], ge=0, le=1, doc="mean that is subtracted from each channel, of 0 … 1"
    )
    std: list[float] = option(
        default=[0.5], gt=0, doc="standard deviation that each channel is divided by"
    )
    augment: Augmentation = option(usual="none", doc="what is done to training images")
    batch_size: int = option(default=64, ge=1, doc="images per batch")
    on_device: bool | None = option(
        harmless=True,
        default=None,
        doc="whether all images are kept on the training device, as uint8; null means on a GPU, "
        "if they take no more than 4 GiB",
    )
    num_workers: int = option(
        harmless=True,
        default=0,
        ge=0,
        le=256,
        doc="processes that read batches of images that are not kept there; 0 is a thread",
    )
    cache_dir: Path | None = option(
        harmless=True,
        default=None,
        doc="folder for the decoded images; null uses a folder in root",
    )

    @abstractmethod
    def read(self) -> "LabelledImages":
        """Read the labels, and decode the images unless they are cached.

        Raises:
            UserError: they are missing or damaged.
        """

    @override
    def problems(self) -> Iterator[str]:
        if self.fold and self.val_prop == 0:
            yield "`fold` has no effect with `val_prop`=0"
        elif self.val_prop is None or self.val_prop:
            folds = round(1 / (self.val_prop or 0.1), _IMAGES_OF_A_RATIO) // 1
            if self.fold >= folds:
                yield f"`fold` must be < {folds:.0f} with `val_prop`={self.val_prop or 0.1}"
        if self.default_res is not None and (size := 3 * self.default_res**2) > _MAX_BYTES:
            yield (
                f"`default_res`={self.default_res} makes every image {size / 2**30:,.0f} GiB, more "
                "than any memory holds"
            )
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, 3):
                yield f"`{name}` must have one number for each channel, or one for all"

    @override
    def problems_in(self, config: Any) -> Iterator[str]:
        yield from self.augment.problems_with(config.objective)

    @override
    def build(self, runtime: "Runtime") -> Data[ImageDims, ImageBatch]:
        """Decode the images unless they are cached, and divide them."""
        from runwright.domains.vision.image_splits import split_of_rows
        from runwright.domains.vision.labelled_images import divided
        from runwright.domains.vision.pictures import draw_training_images

        read = self.read()
        dims = dims_of(read)
        self._check_channels(dims.channels)
        rows = divided(
            read.parts, val_prop=self.val_prop, fold=self.fold, split_seed=self.split_seed
        )
        device = runtime.device
        preparation = self.augment.prepare(
            dims,
            mean=self.mean,
            std=self.std,
            seed=runtime.seed,
            num_examples=len(rows["train"]),
            device=device,
        )
        eval_batch = max(1, min(2000, _EVAL_PIXELS // (dims.height * dims.width)))
        num_bytes = sum(map(len, rows.values())) * read.images[0].nbytes
        is_kept = self.on_device
        if is_kept is None:
            is_kept = device.type != "cpu" and num_bytes <= _ON_DEVICE

        def split(name: str) -> "DeviceImages | MappedImages":
            is_train = name == "train"
            return split_of_rows(
                read,
                rows[name],
                preparation if is_train else preparation.unaugmented(),
                batch_size=self.batch_size if is_train else eval_batch,
                shuffle_seed=runtime.seed if is_train else None,
                device=device,
                on_device=is_kept,
                num_workers=self.num_workers,
            )

        train = split("train")
        return Data(
            dims=dims,
            train=train,
            val=split("val") if "val" in rows else None,
            test=split("test") if "test" in rows else None,
            draw_examples=lambda path: draw_training_images(train, dims, path),
        )

    def _check_channels(self, channels: int) -> None:
        for name in ("mean", "std"):
            count = len(getattr(self, name))
            if count not in (1, channels):
                raise UserError(f"dm.{name} has {count} numbers for images of {channels} channel.")


def dims_of(read: "LabelledImages") -> ImageDims:
    """The Dims of images that have been read."""
    _, channels, height, width = read.images.shape
    num_classes = int(read.labels.max()) + 1 if read.class_names is None else len(read.class_names)
    return ImageDims(
        channels=channels,
        height=height,
        width=width,
        num_classes=num_classes,
        num_groups=read.num_groups,
        class_names=read.class_names,
        group_names=read.group_names,
    )
