"""Classification's losses and measures, against scikit-learn and by hand."""

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn
from torch.nn import functional

from runwright.domains.vision.batch import ImageBatch, MixedImages
from runwright.domains.vision.classification import ClassificationFactory
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.objective import Classification, ClassificationMeasures
from runwright.errors import UserError

reference: Any = metrics  # scikit-learn has no types
CPU = torch.device("cpu")
DIMS = ImageDims(channels=1, height=2, width=2, num_classes=4, num_groups=6)


def random_batch(size: int = 300, seed: int = 0) -> ImageBatch:
    generator = torch.Generator().manual_seed(seed)
    return ImageBatch(
        image=torch.rand(size, 1, 2, 2, generator=generator),
        label=torch.randint(0, 4, (size,), generator=generator),
        group=torch.randint(0, 5, (size,), generator=generator),  # group 5 stays empty
    )


class Pixels(nn.Module):
    """The four pixels are the logits."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.flatten(1)


def objective(**options: object) -> Classification:
    return ClassificationFactory(**options).build(DIMS, CPU)  # pyright: ignore[reportArgumentType]


def measured(batches: list[ImageBatch], **options: object) -> dict[str, float]:
    evaluation = objective(**options).evaluation()
    for batch in batches:
        evaluation.update(Pixels(), batch)
    return evaluation.compute()


def test_the_measures_are_those_of_scikit_learn() -> None:
    batch = random_batch()
    predicted = batch.image.flatten(1).argmax(dim=1)
    values = measured([batch])
    assert values["accuracy"] == pytest.approx(float((predicted == batch.label).float().mean()))
    expected = reference.f1_score(batch.label.numpy(), predicted.numpy(), average="macro")
    assert values["macro_f1"] == pytest.approx(expected)
    by_group = [
        float((predicted == batch.label)[batch.group == group].float().mean()) for group in range(5)
    ]
    assert values["worst_group_accuracy"] == pytest.approx(min(by_group))
    loss = functional.cross_entropy(batch.image.flatten(1), batch.label)
    assert values["loss"] == pytest.approx(float(loss))


def test_the_measures_do_not_depend_on_how_the_split_is_cut_into_batches() -> None:
    batch = random_batch()
    pieces = [batch.select(slice(i, i + 7)) for i in range(0, 300, 7)]
    assert measured(pieces) == pytest.approx(measured([batch]))


def test_smoothing_and_weights_shape_the_training_loss_and_not_the_measures() -> None:
    batch = random_batch()
    weights = [1.0, 2.0, 0.0, 0.5]
    shaped = objective(label_smoothing=0.2, class_weights=weights)
    expected = functional.cross_entropy(
        batch.image.flatten(1), batch.label, weight=torch.tensor(weights), label_smoothing=0.2
    )
    torch.testing.assert_close(shaped.losses(Pixels(), batch)["loss"], expected)
    assert measured([batch], label_smoothing=0.2, class_weights=weights) == measured([batch])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("class_weights", [None, [1.0, 2.0, 0.0, 0.5]])
def test_images_of_two_labels_have_the_loss_of_soft_targets(
    label_smoothing: float, class_weights: list[float] | None
) -> None:
    batch, other = random_batch(), random_batch(seed=1)
    share = torch.rand(300, generator=torch.Generator().manual_seed(2))
    mixed = MixedImages(
        image=batch.image,
        label=batch.label,
        group=batch.group,
        other_label=other.label,
        share=share,
    )
    shaped = objective(label_smoothing=label_smoothing, class_weights=class_weights)
    soft = functional.one_hot(batch.label, 4) * share[:, None]
    soft = soft + functional.one_hot(other.label, 4) * (1 - share)[:, None]
    weight = torch.ones(4) if class_weights is None else torch.tensor(class_weights)
    summed = functional.cross_entropy(
        batch.image.flatten(1),
        soft,
        weight=weight,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    expected = summed / (soft * weight).sum()
    torch.testing.assert_close(shaped.losses(Pixels(), mixed)["loss"], expected)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_class_weights_give_the_weighted_mean_and_its_gradient(label_smoothing: float) -> None:
    weights = [1.0, 0.0, 3.0, 0.5]
    shaped = objective(label_smoothing=label_smoothing, class_weights=weights)
    batch = random_batch(20)
    image = batch.image.requires_grad_()
    (gradient,) = torch.autograd.grad(shaped.losses(Pixels(), batch)["loss"], image)
    expected = functional.cross_entropy(
        image.flatten(1), batch.label, torch.tensor(weights), label_smoothing=label_smoothing
    )
    torch.testing.assert_close(gradient, *torch.autograd.grad(expected, image))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_a_batch_of_classes_that_weigh_nothing_has_no_loss_and_no_gradient(
    label_smoothing: float,
) -> None:
    shaped = objective(label_smoothing=label_smoothing, class_weights=[1.0, 0.0, 1.0, 1.0])
    batch = attrs.evolve(random_batch(5), label=torch.ones(5, dtype=torch.int64))
    image = batch.image.requires_grad_()
    loss = shaped.losses(Pixels(), batch)["loss"]
    (gradient,) = torch.autograd.grad(loss, image)
    assert loss.item() == 0
    assert not gradient.any()


def test_class_weights_must_be_as_many_as_classes() -> None:
    with pytest.raises(UserError, match=r"class_weights has 2 weights for 4 classes"):
        objective(class_weights=[1.0, 2.0])


def test_a_class_that_neither_occurs_nor_is_predicted_does_not_count_in_f1() -> None:
    batch = random_batch()
    two = batch.select(torch.nonzero(batch.label < 2).flatten())
    image = two.image.clone()
    image[:, 0, 1] = -1  # the last two logits
    few = ImageBatch(image=image, label=two.label, group=two.group)
    predicted = image.flatten(1).argmax(dim=1).numpy()
    expected = reference.f1_score(two.label.numpy(), predicted, average="macro")
    assert measured([few])["macro_f1"] == pytest.approx(expected)


def test_predictions_have_a_row_an_example_and_probabilities_that_sum_to_one() -> None:
    batch = random_batch(9)
    table = objective().predict(Pixels(), batch)
    assert list(table)[:3] == ["label", "group", "prediction"]
    assert {len(column) for column in table.values()} == {9}
    total = sum(table[f"probability_{k}"] for k in range(4))
    np.testing.assert_allclose(total, 1, rtol=1e-6)


def test_the_confusion_matrix_is_drawn(tmp_path: Path) -> None:
    evaluation = objective().evaluation()
    evaluation.update(Pixels(), random_batch())
    evaluation.draw(tmp_path, "val")
    assert (tmp_path / "confusion_matrix_val.png").read_bytes().startswith(b"\x89PNG")


def test_the_confusion_matrix_counts_every_image() -> None:
    measures, batch = ClassificationMeasures(DIMS, CPU), random_batch()
    measures.update(Pixels()(batch.image), batch)
    assert measures.confusion.sum() == 300


def test_logits_of_another_shape_are_refused_with_both_shapes() -> None:
    batch = random_batch(8)
    wide = nn.Sequential(nn.Flatten(), nn.Linear(4, 5))
    with pytest.raises(UserError, match=r"logits of shape \(8, 5\).*not \(8, 4\)"):
        objective().losses(wide, batch)
    with pytest.raises(UserError, match=r"logits of shape \(8, 5\)"):
        objective().evaluation().update(wide, batch)


@pytest.mark.parametrize(("name", "value"), [("label", 4), ("label", -1), ("group", 6)])
def test_labels_and_groups_out_of_range_are_refused(name: str, value: int) -> None:
    batch = random_batch(8)
    getattr(batch, name)[3] = value
    with pytest.raises(UserError, match=f"have a {name} {value}, not in 0"):
        objective().losses(Pixels(), batch)


def test_the_worst_group_is_named_above_the_confusion_matrix() -> None:
    dims = ImageDims(
        channels=1,
        height=1,
        width=2,
        num_classes=2,
        num_groups=3,
        class_names=("cat", "dog"),
        group_names=("cat, at home", "dog, at home", "dog, outside"),
    )
    batch = ImageBatch(
        image=torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]).view(4, 1, 1, 2),
        label=torch.tensor([0, 1, 1, 1]),
        group=torch.tensor([0, 1, 2, 2]),
    )
    evaluation = ClassificationMeasures(dims, CPU)
    evaluation.update(Pixels()(batch.image), batch)
    assert evaluation.title() == (
        "accuracy 0.750 of 4 images\nworst group: dog, outside, 0.500 of 2"
    )
    assert evaluation.compute()["worst_group_accuracy"] == 0.5
    without_groups = attrs.evolve(dims, num_groups=1, group_names=("all",))
    evaluation = ClassificationMeasures(without_groups, CPU)
    ungrouped = attrs.evolve(batch, group=torch.zeros(4, dtype=torch.int64))
    evaluation.update(Pixels()(batch.image), ungrouped)
    assert evaluation.title() == "accuracy 0.750 of 4 images"
    assert set(evaluation.compute()) == {"loss", "accuracy", "macro_f1"}
    of_ungrouped = ClassificationFactory().build(without_groups, CPU)
    assert set(of_ungrouped.higher_is_better) == {"loss", "accuracy", "macro_f1"}
    table = of_ungrouped.predict(Pixels(), ungrouped)
    assert set(of_ungrouped.measures_of(table)) == {"loss", "accuracy", "macro_f1"}
