"""The stage of training."""

import math
from typing import Any

from typing_extensions import override

from runwright.factory import factory
from runwright.stage import Stage, Trained


@factory("fit")
class Fit(Stage):
    """Train; what comes of it is measured and drawn at its end."""

    trains = True

    @override
    def run(self, trained: Trained[Any]) -> float:
        return math.nan  # the training is done
