"""The stage that measures a model beside the baselines."""

import csv
import io
import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from typing_extensions import override

from runwright import (
    CONFIG_GROUPS,
    Data,
    ModelFactory,
    Stage,
    Trained,
    UserError,
    factory,
    option,
    split_of,
)

if TYPE_CHECKING:
    from torch import nn

    from runwright import Interval
    from runwright.domains.perturbation.effect_measures import EffectMeasures
    from runwright.domains.perturbation.effect_table import EffectTable

    _Intervals = Mapping[str, Mapping[str, Interval]]

log = logging.getLogger(__name__)

_BASELINES: Final = ("perturb_mean", "context_mean", "pert_ridge")
_ORACLE: Final = "oracle"
_PARTS: Final = {"fewshot": "few-shot", "zeroshot": "zero-shot"}


@factory("compare")
class Compare(Stage):
    """Measure the predicted effects beside those of the baselines."""

    writes = (r"compare_\w+\.(csv|json)",)

    split: Literal["val", "test"] | None = option(
        default=None, doc="the split to measure; by default test if there is one, or else val"
    )
    num_bootstrap_runs: int = option(
        default=1000, ge=1, doc="how often to resample the perturbations for 95 % intervals"
    )

    @override
    def check(self, data: Data[Any, Any]) -> None:
        split_of(data, self._split(data))
        if data.dims.decoded_genes is not None:
            raise UserError(
                "stage=compare does not fit these data: genes are decoded from an embedding, which "
                "the baselines do not do. Leave it out of `then`, or predict what a model gets: "
                "dm.embed_key=null, or dm.output_space=embedding."
            )

    def _split(self, data: Data[Any, Any]) -> str:
        return self.split or ("test" if data.test is not None else "val")

    @override
    def run(self, trained: Trained[Any]) -> float:
        """Write `compare_SPLIT.json` and `.csv` and pictures, and print the tables.

        Cell types of which no perturbation was trained on (zero-shot) are told apart from others
        (few-shot).

        Returns:
            NaN, as what a run returns is measured by `stage=test`.
        """
        split = self._split(trained.data)
        name = trained.model_name
        measured = self._measured(trained, trained.model, split)
        tables = {name: measured.table()}
        for baseline in _BASELINES:
            if baseline != name:
                fitted = _fitted(baseline, trained)
                tables[baseline] = self._measured(trained, fitted, split).table()
        if (oracle := _oracle(trained, measured)) is not None:
            tables[_ORACLE] = oracle
        parts = _divided(tables, trained)
        self._record(trained, split, parts)
        for part, models in parts.items():
            _say(split, part, models)
        return math.nan

    def _measured(self, trained: Trained[Any], model: "nn.Module", split: str) -> "EffectMeasures":
        from runwright.domains.perturbation.effect_measures import EffectMeasures

        objective: Any = trained.objective
        measures = EffectMeasures(trained.data.dims, trained.runtime.device)
        with trained.applying():
            for part in trained.splits(split).values():
                for batch in trained.batches(part):
                    measures.update(objective.outputs(model, batch), batch)
        return measures

    def _record(
        self, trained: Trained[Any], split: str, parts: Mapping[str, Mapping[str, "EffectTable"]]
    ) -> None:
        """Write the measures and their intervals, and draw them."""
        from runwright import write_bytes
        from runwright.domains.perturbation.pictures import draw_measures

        run_dir, seed = trained.runtime.run_dir, trained.runtime.seed
        found = {part: self._intervals(models, seed) for part, models in parts.items()}
        said = {part: _plain(models) for part, models in found.items()}
        write_bytes(run_dir / f"compare_{split}.json", (json.dumps(said, indent=2) + "\n").encode())
        write_bytes(run_dir / f"compare_{split}.csv", _csv(found).encode())
        if not trained.draws:
            return
        for part, models in found.items():
            known = parts[part]
            oracle = known[_ORACLE].means() if _ORACLE in known else {}
            shown = {name: one for name, one in models.items() if name != _ORACLE}
            draw_measures(
                shown,
                oracle,
                f"{_PARTS[part]}, {split}: means and 95 % intervals",
                run_dir / "pictures" / f"compare_{split}_{part}.png",
            )

    def _intervals(self, tables: Mapping[str, "EffectTable"], seed: int) -> "_Intervals":
        """The mean of each measure of each model, and the bounds of its 95 % interval."""
        from runwright import Interval, quantiles

        intervals: dict[str, dict[str, Interval]] = {}
        for name, table in tables.items():
            runs = table.bootstrap(self.num_bootstrap_runs, seed)
            means = table.means()
            intervals[name] = {
                measure: Interval(mean=means[measure], low=found.low, high=found.high)
                for measure, found in ((one, quantiles(values)) for one, values in runs.items())
            }
        return intervals


def _divided(
    tables: Mapping[str, "EffectTable"], trained: Trained[Any]
) -> dict[str, dict[str, "EffectTable"]]:
    """The tables of few-shot and of zero-shot cell types, where there are some."""
    train: Any = trained.data.train
    is_perturbed = train.groups.perturbation != trained.data.dims.control
    known: set[int] = set(train.groups.cell_type[is_perturbed].tolist())
    parts = {
        "fewshot": {name: table.of(known) for name, table in tables.items()},
        "zeroshot": {name: table.of(known, others=True) for name, table in tables.items()},
    }
    return {part: models for part, models in parts.items() if any(map(len, models.values()))}


def _say(split: str, part: str, models: Mapping[str, "EffectTable"]) -> None:
    from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER

    count = len(next(iter(models.values())).of_cell_types())
    plural = "" if count == 1 else "s"
    log.info(
        "Predicted effects on the %s split, %s (%d cell type%s):",
        *(split, _PARTS[part], count, plural),
    )
    means = {one: table.means() for one, table in models.items()}
    rows = [["", *HIGHER_IS_BETTER]]
    rows += [[n, *(f"{v[m]:.4f}" for m in HIGHER_IS_BETTER)] for n, v in means.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *numbers in rows:
        shown = (one.rjust(width) for one, width in zip(numbers, widths[1:], strict=True))
        log.info("%s  %s", first.ljust(widths[0]), "  ".join(shown))


def _plain(models: "_Intervals") -> dict[str, dict[str, dict[str, float | None]]]:
    return {
        name: {
            measure: {
                bound: None if math.isnan(value) else value
                for bound, value in (("mean", o.mean), ("low", o.low), ("high", o.high))
            }
            for measure, o in one.items()
        }
        for name, one in models.items()
    }


def _csv(parts: "Mapping[str, _Intervals]") -> str:
    """A row for each part and model, for `python -m runwright results --table`."""
    from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["held_out", "model", *HIGHER_IS_BETTER])
    for part, models in parts.items():
        for name, one in models.items():
            means = (one[measure].mean for measure in HIGHER_IS_BETTER)
            writer.writerow([part, name, *("" if math.isnan(mean) else mean for mean in means)])
    return text.getvalue()


def _fitted(name: str, trained: Trained[Any]) -> "nn.Module":
    """A baseline, with the usual options, fitted in one epoch of the training data."""
    from runwright import FittedModel

    made: type[Any] = CONFIG_GROUPS["model"][name]
    factory: ModelFactory[Any] = made()
    model = factory.build(trained.data.dims).to(trained.runtime.device)
    assert isinstance(model, FittedModel)
    for batch in trained.data.train.each_once().batches(epoch=0):
        model.observe(batch)
    return model.eval()


def _oracle(trained: Trained[Any], measured: "EffectMeasures") -> "EffectTable | None":
    """The measures of the true means, where the cells are simulated and these are known."""
    import torch

    from runwright.domains.perturbation.baselines import oracle
    from runwright.domains.perturbation.effect_measures import table_of_means

    dims = trained.data.dims
    config: Any = trained.config
    truth = Path(config.dm.toml_config_path).expanduser().parent / "truth.npz"
    if not truth.exists() or not dims.is_expression:
        return None
    profiles = torch.from_numpy(oracle(truth, dims)).to(trained.runtime.device)
    means = [
        one.predicted_as(profiles[one.cell_type, one.perturbation].to(one.real))
        for one in measured.means()
    ]
    return table_of_means(means, dims)
