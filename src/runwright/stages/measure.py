"""The stages that measure a split: `validate` and `test`."""

import json
import logging
import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from typing_extensions import override

from runwright.atomic_files import write_bytes
from runwright.data import Data
from runwright.errors import UserError, did_you_mean
from runwright.factory import factory, option, settings
from runwright.stage import Stage, Trained, split_of

log = logging.getLogger(__name__)


@settings
class Measure(Stage):
    """Measure a split, with confidence intervals if asked for."""

    split: ClassVar[str]

    num_bootstrap_runs: int = option(
        default=0, ge=0, doc="how often to resample the examples for 95 % confidence intervals"
    )
    ci_method: Literal["bootstrap_quantiles", "bootstrap_t_interval", "binomial"] | None = option(
        default=None,
        doc="how confidence intervals are made; bootstrap_quantiles if there are bootstrap runs",
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.ci_method not in (None, "binomial") and not self.num_bootstrap_runs:
            yield f"`num_bootstrap_runs` must be ≥ 1 with `ci_method`={self.ci_method}"

    @override
    def check(self, data: Data[Any, Any]) -> None:
        split_of(data, self.split)

    @override
    def run(self, trained: Trained[Any]) -> float:
        from runwright.stages import intervals
        from runwright.stages.evaluating import evaluate

        method = self.ci_method or ("bootstrap_quantiles" if self.num_bootstrap_runs else None)
        evaluation, table = evaluate(trained, self.split, keeps_table=method is not None)
        values = evaluation.compute()
        if trained.monitor not in values:
            raise UserError(
                f"training.monitor: nothing called '{trained.monitor}' is measured. "
                + did_you_mean(trained.monitor, values)
            )
        run_dir, stage = trained.runtime.run_dir, type(self).config_choice
        measures = {f"{self.split}_{name}": value for name, value in values.items()}
        record: dict[str, Any] = {
            "weights": str(trained.weights),
            **{name: None if math.isnan(value) else value for name, value in measures.items()},
        }
        if method is not None:
            found = intervals.of_table(
                trained.objective,
                table,
                method=method,
                num_bootstrap_runs=self.num_bootstrap_runs,
                seed=trained.runtime.seed,
            )
            named = {f"{self.split}_{name}": interval for name, interval in found.items()}
            record["intervals"] = intervals.record(named, method, self.num_bootstrap_runs, table)
            intervals.write_table(run_dir / f"{stage}_intervals.csv", measures, named)
            if trained.draws and any(interval.is_known for interval in named.values()):
                picture = run_dir / "pictures" / f"{stage}_intervals.png"
                intervals.draw(picture, measures, named)
            for name, interval in named.items():
                log.info("%s %.4f %s", name, measures[name], interval)
        else:
            for name, value in measures.items():
                log.info("%s %.4f", name, value)
        write_bytes(run_dir / f"{stage}.json", (json.dumps(record, indent=2) + "\n").encode())
        if trained.draws:
            evaluation.draw(run_dir / "pictures", self.split)
        return values[trained.monitor]


@factory("validate")
class Validate(Measure):
    """Measure the validation split."""

    split = "val"


@factory("test")
class Test(Measure):
    """Measure the test split."""

    split = "test"
