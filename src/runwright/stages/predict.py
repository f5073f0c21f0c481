"""The stage that writes predictions."""

import math
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from runwright.data import Data
from runwright.factory import factory, option
from runwright.predictions import TableFormat
from runwright.stage import Stage, Trained, split_of

if TYPE_CHECKING:
    from runwright.objective import Objective


@factory("predict")
class Predict(Stage):
    """Write the predictions for the examples of a split."""

    writes = (r"predictions_\w+\.(csv|parquet)",)

    split: Literal["val", "test"] | None = option(
        default=None,
        doc="the split to predict; by default test if there is one, or else val, all of which are "
        "predicted if there are several",
    )
    format: TableFormat = option(default="csv", doc="file format of a table of predictions")

    @override
    def check(self, data: Data[Any, Any]) -> None:
        split_of(data, self._split(data))

    @override
    def check_objective(self, objective: "Objective[Any]") -> None:
        objective.check_offers(predictions=True)

    def _split(self, data: Data[Any, Any]) -> str:
        return self.split or ("test" if data.test is not None else "val")

    @override
    def run(self, trained: Trained[Any]) -> float:
        for name, split in trained.splits(self._split(trained.data)).items():
            written = trained.objective.predictions(
                trained.runtime.run_dir, name, table_format=self.format
            )
            with trained.applying(), written as write:
                for batch in trained.batches(split):
                    write(trained.model, batch)
        return math.nan
