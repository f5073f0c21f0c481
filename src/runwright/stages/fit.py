"""The stage of training."""

import math
from typing import Any

from typing_extensions import override

from runwright.factory import factory
from runwright.stage import Stage, Trained


@factory("fit")
class Fit(Stage):
    """Train a model; its results are recorded and drawn at the end."""

    trains = True

    @override
    def run(self, trained: Trained[Any]) -> float:
        return math.nan  # the training is done
