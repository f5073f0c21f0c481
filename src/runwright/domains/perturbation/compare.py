"""The stage that measures a model beside the baselines."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from typing_extensions import override

from runwright import CONFIG_GROUPS, Data, ModelFactory, Stage, Trained, factory, option, split_of

if TYPE_CHECKING:
    from torch import nn

    from runwright.domains.perturbation.effect_measures import EffectMeasures
    from runwright.domains.perturbation.effect_table import EffectTable

log = logging.getLogger(__name__)

_BASELINES: Final = ("perturb_mean", "context_mean", "pert_ridge")
_ORACLE: Final = "oracle"


@factory("compare")
class Compare(Stage):
    """Measure the predicted effects beside those of the baselines."""

    split: Literal["val", "test"] | None = option(
        default=None, doc="the split to measure; by default test if there is one, or else val"
    )
    num_bootstrap_runs: int = option(
        default=1000, ge=1, doc="how often to resample the perturbations for 95 % intervals"
    )

    @override
    def check(self, data: Data[Any, Any]) -> None:
        split_of(data, self._split(data))

    def _split(self, data: Data[Any, Any]) -> str:
        return self.split or ("test" if data.test is not None else "val")

    @override
    def run(self, trained: Trained[Any]) -> float:
        """Write `compare_SPLIT.json` and a picture, and print the table.

        Returns:
            NaN, as what a run returns is measured by `stage=test`.
        """
        from runwright.domains.perturbation.effect_table import HIGHER_IS_BETTER

        split = self._split(trained.data)
        config: Any = trained.config
        model: ModelFactory[Any] = config.model
        name = str(model.config_choice)
        measured = self._measured(trained, trained.model, split)
        tables = {name: measured.table()}
        for baseline in _BASELINES:
            if baseline != name:
                fitted = _fitted(baseline, trained)
                tables[baseline] = self._measured(trained, fitted, split).table()
        if (oracle := _oracle(trained, measured)) is not None:
            tables[_ORACLE] = oracle
        means = {one: table.means() for one, table in tables.items()}
        self._record(trained, split, tables)
        log.info("Predicted effects on the %s split:", split)
        rows = [["", *HIGHER_IS_BETTER]]
        rows += [[n, *(f"{v[m]:.4f}" for m in HIGHER_IS_BETTER)] for n, v in means.items()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for first, *numbers in rows:
            shown = (one.rjust(width) for one, width in zip(numbers, widths[1:], strict=True))
            log.info("%s  %s", first.ljust(widths[0]), "  ".join(shown))
        return math.nan

    def _measured(self, trained: Trained[Any], model: "nn.Module", split: str) -> "EffectMeasures":
        from runwright.domains.perturbation.effect_measures import EffectMeasures

        objective: Any = trained.objective
        measures = EffectMeasures(trained.data.dims, trained.runtime.device)
        with trained.applying():
            for batch in trained.batches(split_of(trained.data, split)):
                measures.update(objective.outputs(model, batch), batch)
        return measures

    def _record(
        self, trained: Trained[Any], split: str, tables: Mapping[str, "EffectTable"]
    ) -> None:
        """Write the measures and their intervals, and draw them."""
        from runwright import Interval, quantiles, write_bytes
        from runwright.domains.perturbation.pictures import draw_measures

        intervals: dict[str, dict[str, Interval]] = {}
        for name, table in tables.items():
            runs = table.bootstrap(self.num_bootstrap_runs, trained.runtime.seed)
            means = table.means()
            intervals[name] = {
                measure: Interval(mean=means[measure], low=found.low, high=found.high)
                for measure, found in ((one, quantiles(values)) for one, values in runs.items())
            }
        said = {
            name: {
                measure: {
                    bound: None if math.isnan(value) else value
                    for bound, value in (("mean", o.mean), ("low", o.low), ("high", o.high))
                }
                for measure, o in one.items()
            }
            for name, one in intervals.items()
        }
        run_dir = trained.runtime.run_dir
        write_bytes(run_dir / f"compare_{split}.json", (json.dumps(said, indent=2) + "\n").encode())
        if trained.draws:
            oracle = tables[_ORACLE].means() if _ORACLE in tables else {}
            shown = {name: one for name, one in intervals.items() if name != _ORACLE}
            draw_measures(shown, oracle, run_dir / "pictures" / f"compare_{split}.png")


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
