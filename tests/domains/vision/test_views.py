"""Several views of an image: their logits are averaged, in measures and predictions only."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from runwright.domains.vision.batch import ImageBatch
from runwright.domains.vision.classification import ClassificationFactory
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.views import logits_of_views

DIMS = ImageDims(channels=1, height=6, width=6, num_classes=36)
CPU = torch.device("cpu")


class Pixels(nn.Module):
    """The pixels are the logits."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.flatten(1)


def batch() -> ImageBatch:
    image = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    label = torch.arange(5)
    return ImageBatch(image=image, label=label, group=torch.zeros_like(label))


def test_an_image_and_its_mirror_image_count_alike() -> None:
    image = batch().image
    logits = logits_of_views(Pixels(), image, with_shifts=False).view(5, 1, 6, 6)
    torch.testing.assert_close(logits, (image + image.flip(3)) / 2)


def test_shifted_images_have_half_of_the_weight() -> None:
    image = batch().image
    logits = logits_of_views(Pixels(), image, with_shifts=True).view(5, 1, 6, 6)
    padded = functional.pad(image, (1, 1, 1, 1), mode="reflect")
    views = [image, image, padded[:, :, 2:, 2:], padded[:, :, :6, :6]]
    mean = torch.stack([(view + view.flip(3)) / 2 for view in views]).mean(0)
    torch.testing.assert_close(logits, mean)


@pytest.mark.parametrize("views", ["none", "flip", "flip_shift"])
def test_only_what_is_measured_takes_them(views: str) -> None:
    objective = ClassificationFactory(test_time_augmentation=views).build(DIMS, CPU)  # pyright: ignore[reportArgumentType]
    model, some = Pixels(), batch()
    plain = functional.cross_entropy(some.image.flatten(1), some.label)
    torch.testing.assert_close(objective.losses(model, some)["loss"], plain)
    model.eval()
    shown = some.image.flatten(1)
    if views != "none":
        shown = logits_of_views(model, some.image, with_shifts=views == "flip_shift")
    evaluation = objective.evaluation()
    evaluation.update(model, some)
    expected = float(functional.cross_entropy(shown, some.label))
    assert evaluation.compute()["loss"] == pytest.approx(expected)
    table = objective.predict(model, some)
    assert table["prediction"].tolist() == shown.argmax(1).tolist()
