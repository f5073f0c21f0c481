"""What can be chosen for images. Importing it loads neither torch nor an extra."""

from runwright.domains.vision.augmentation import NoAugmentation
from runwright.domains.vision.celeba import CelebADataModule
from runwright.domains.vision.classification import ClassificationFactory
from runwright.domains.vision.cmnist import ColoredMNISTDataModule
from runwright.domains.vision.cnn import SimpleCNNFactory
from runwright.domains.vision.fcn import FcnFactory
from runwright.domains.vision.image_folder import ImageFolderDataModule
from runwright.domains.vision.resnet import ResNetFactory
from runwright.domains.vision.standard_augmentation import StandardAugmentation
from runwright.domains.vision.torchvision_data import TorchvisionDataModule
from runwright.domains.vision.torchvision_models import TorchvisionFactory
from runwright.domains.vision.whitened_cnn import WhitenedCNNFactory

__all__ = [
    "CelebADataModule",
    "ClassificationFactory",
    "ColoredMNISTDataModule",
    "FcnFactory",
    "ImageFolderDataModule",
    "NoAugmentation",
    "ResNetFactory",
    "SimpleCNNFactory",
    "StandardAugmentation",
    "TorchvisionDataModule",
    "TorchvisionFactory",
    "WhitenedCNNFactory",
]
