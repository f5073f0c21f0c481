"""A folder of images for each class."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from typing_extensions import override

from runwright import factory, option, require_extra
from runwright.domains.vision.image_data import ImageDataModule

if TYPE_CHECKING:
    from runwright.domains.vision.labelled_images import LabelledImages


@factory("image_folder")
class ImageFolderDataModule(ImageDataModule):
    """Your own images: a folder for each class, in train/, val/ and test/ or to be divided."""

    root: Path = option(
        harmless=True,
        default=Path("data"),
        doc="folder that contains one for each class, or train/, val/ and test/ that do",
    )
    test_prop: float = option(
        default=0.0,
        ge=0,
        lt=1,
        doc="fraction of the images to keep for testing, where there is no test/",
    )
    greyscale: bool = option(default=False, doc="whether to convert the images to greyscale")
    groups: Literal["none", "class", "folder"] = option(
        default="none",
        doc="groups of worst-group accuracy: none, each class, or the folders within a class",
    )

    @override
    def preflight(self) -> None:
        require_extra("PIL", "vision", "dm=image_folder")

    @override
    def check_sources(self) -> None:
        from runwright.domains.vision.class_folders import parts_of

        parts_of(self.root)

    @override
    def read(self) -> "LabelledImages":
        from runwright.domains.vision.class_folders import read_class_folders

        return read_class_folders(
            self.root,
            res=self.default_res,
            greyscale=self.greyscale,
            test_prop=self.test_prop,
            split_seed=self.split_seed,
            groups=self.groups,
            cache_dir=self.cache_dir or self.root / ".cache",
        )
