"""The stage that predicts the cells of a new file."""

import math
from pathlib import Path
from typing import Any

from typing_extensions import override

from runwright import Data, Stage, Trained, UserError, factory, option, require_extra


@factory("infer")
class Infer(Stage):
    """Predict the cells of a new h5ad file from its own control cells."""

    needs_data = False
    writes = (r"inferred\.h5ad",)

    file: Path = option(
        doc="h5ad file with control cells of every cell type; what else is in its column of "
        "perturbations is predicted"
    )

    @override
    def check(self, data: Data[Any, Any]) -> None:
        if not self.file.expanduser().is_file():
            raise UserError(f"stage.file={self.file} does not exist, or is no file.")

    @override
    def run(self, trained: Trained[Any]) -> float:
        """Write `inferred.h5ad`: the cells of the file, the perturbed ones as they are predicted.

        Returns:
            NaN, as nothing is measured.
        """
        require_extra("anndata", "perturbation", "stage=infer")
        from runwright.domains.perturbation.prediction_files import (
            cell_file,
            cells_of,
            columns_of,
        )

        config: Any = trained.config
        objective: Any = trained.objective
        dims, split = config.dm.unseen(
            self.file.expanduser(),
            trained.runtime,
            allows_new_batches=not getattr(config.model, "batch_encoder", False),
        )
        path = trained.runtime.run_dir / "inferred.h5ad"
        with trained.applying(), cell_file(path, dims) as written:
            for batch in trained.batches(split):
                outputs = objective.outputs(trained.model, batch)
                predicted, _ = cells_of(outputs, batch, dims)
                written.append(predicted, **columns_of(batch))
        return math.nan
