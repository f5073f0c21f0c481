"""Torchvision's data sets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from typing_extensions import override

from runwright import UserError, factory, option, require_extra
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.image_data import Groups, ImageDataModule
from runwright.domains.vision.torchvision_sets import SETS, TorchvisionSet

if TYPE_CHECKING:
    from runwright.domains.vision.labelled_images import LabelledImages


@factory("torchvision")
class TorchvisionDataModule(ImageDataModule):
    """A data set of torchvision, by name."""

    name: str = option(default="CIFAR10", choices=tuple(SETS), doc="torchvision's data set")
    download: bool = option(
        harmless=True, default=False, doc="whether torchvision may download it to root"
    )
    groups: Groups = option(
        default="none", doc="the groups of worst-group accuracy: none, or each class"
    )

    @override
    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.name in SETS and self._known.size is None and self.default_res is None:
            yield (
                f"`default_res` must be set with `name`={self.name}, whose images differ in size, "
                "e.g. to 224"
            )

    @override
    def preflight(self) -> None:
        require_extra("torchvision", "vision", f"dm.name={self.name}")

    @override
    def expected_dims(self) -> ImageDims:
        known = self._known
        side = self.default_res or known.size
        assert side is not None
        return ImageDims(
            channels=known.channels,
            height=side,
            width=side,
            num_classes=known.num_classes,
            num_groups=known.num_classes if self.groups == "class" else 1,
        )

    @override
    def check_sources(self) -> None:
        missing = [name for name in self._known.files if not (self.root / name).exists()]
        if missing and not self.download:
            raise UserError(
                f"dm.name={self.name}: there is no {' nor '.join(missing)} in "
                f"{self.root.resolve()}. Let torchvision fetch it with dm.download=true, put it "
                "there unpacked, or say with dm.root=… where it is."
            )

    @override
    def read(self) -> "LabelledImages":
        from runwright.domains.vision.torchvision_files import read_torchvision

        self.check_sources()
        dims = self.expected_dims()
        return read_torchvision(
            self.name,
            self._known,
            self.root,
            shape=(dims.channels, dims.height, dims.width),
            resizes=self.default_res is not None,
            cache_dir=self.cache_dir or self.root / "cache",
            download=self.download,
            has_groups=self.groups == "class",
        )

    @property
    def _known(self) -> TorchvisionSet:
        return SETS[self.name]
