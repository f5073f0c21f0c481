"""Several views of the same images, whose logits are averaged."""

from torch import Tensor, nn
from torch.nn import functional


def logits_of_views(model: nn.Module, image: Tensor, *, with_shifts: bool) -> Tensor:
    """The mean of the logits of images and their mirror images.

    Args:
        model: (B, C, H, W) → (B, num_classes).
        image: the images.
        with_shifts: whether half of the weight goes to the same images shifted by one pixel, up and
            to the left, and down and to the right (Jordan 2024, https://arxiv.org/abs/2404.00498).
    """
    logits = _mirrored(model, image)
    if not with_shifts:
        return logits
    padded = functional.pad(image, (1, 1, 1, 1), mode="reflect")
    shifted = _mirrored(model, padded[:, :, 2:, 2:]) + _mirrored(model, padded[:, :, :-2, :-2])
    return 0.5 * logits + 0.25 * shifted


def _mirrored(model: nn.Module, image: Tensor) -> Tensor:
    return 0.5 * (model(image) + model(image.flip(3)))
