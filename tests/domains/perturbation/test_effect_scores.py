"""The scores of mean profiles, where cell-eval leaves open what they are."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from runwright.domains.perturbation.effect_scores import measures_of_means


def means(*rows: Sequence[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


NO_TARGETS = torch.tensor([-1, -1, -1])


def test_equal_distances_count_half() -> None:
    real = means([1, 0], [0, 1], [-1, -1])
    nothing = torch.zeros(3, 2, dtype=torch.float64)
    found = measures_of_means(nothing, real, nothing[0], NO_TARGETS)
    # Without an effect, all three are as near in angle: 1 is nearer on average, of 3.
    assert found["discrimination_cosine"].tolist() == pytest.approx([2 / 3] * 3)
    assert found["discrimination_l1"].tolist() == pytest.approx([5 / 6, 5 / 6, 1 / 3])
    assert found["pearson_delta"].isnan().all()


def test_the_target_gene_does_not_tell_a_perturbation() -> None:
    real = means([5, 1, 0], [0, 6, 1], [0, 0, 7])
    predicted = means([5, 0, 1], [1, 6, 0], [0, 0, 7])
    control = torch.zeros(3, dtype=torch.float64)
    told = measures_of_means(predicted, real, control, NO_TARGETS)
    untold = measures_of_means(predicted, real, control, torch.tensor([0, 1, 2]))
    for name in ("l1", "l2", "cosine"):
        assert told[f"discrimination_{name}"].tolist() == [1, 1, 1]
    # Without gene 0 the first prediction is (0, 1), the second effect (6, 1), the third (0, 7).
    assert untold["discrimination_cosine"].tolist()[0] == pytest.approx(1 / 3)
    assert untold["pearson_delta"].tolist() == told["pearson_delta"].tolist()


def test_a_prediction_that_is_not_finite_has_no_score() -> None:
    real = means([1, 0], [0, 1], [-1, -2])
    predicted = real.clone()
    predicted[1, 0] = math.nan
    found = measures_of_means(predicted, real, real[0] * 0, NO_TARGETS)
    for name, values in found.items():
        assert values.isnan().tolist() == [False, True, False], name
