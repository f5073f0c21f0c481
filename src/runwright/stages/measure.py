"""The stages that measure a split: `validate` and `test`."""

import json
import logging
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs
from typing_extensions import override

from runwright.data import Data, Split
from runwright.errors import UserError, did_you_mean
from runwright.factory import factory, option, settings
from runwright.stage import Stage, Trained, split_of
from runwright.storage.atomic_files import write_bytes

if TYPE_CHECKING:
    from runwright.objective import Objective
    from runwright.stages.intervals import Interval

log = logging.getLogger(__name__)


@settings
class MeasureStage(Stage):
    """Measure a split, optionally with confidence intervals."""

    writes = (r"\w+_intervals\.csv",)
    split: ClassVar[str]

    num_bootstrap_runs: int = option(
        default=0, ge=0, doc="how often to resample the examples for 95 % confidence intervals"
    )
    ci_method: Literal["bootstrap_quantiles", "bootstrap_t_interval", "binomial"] | None = option(
        default=None,
        doc="how confidence intervals are computed; by default bootstrap_quantiles if there are "
        "bootstrap runs",
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.ci_method not in (None, "binomial") and not self.num_bootstrap_runs:
            yield f"`num_bootstrap_runs` must be ≥ 1 with `ci_method`={self.ci_method}"

    @override
    def check(self, data: Data[Any, Any]) -> None:
        split_of(data, self.split)

    @override
    def check_objective(self, objective: "Objective[Any]") -> None:
        objective.check_offers(measures=self._method is not None)

    @abstractmethod
    def splits(self, trained: Trained[Any]) -> Mapping[str, Split[Any]]:
        """The splits to measure, by name."""

    @override
    def run(self, trained: Trained[Any]) -> float:
        run_dir, stage = trained.runtime.run_dir, type(self).config_choice
        measured = {
            name: self._measure(trained, name, split)
            for name, split in self.splits(trained).items()
        }
        measures = {key: value for one in measured.values() for key, value in one.measures.items()}
        found = {key: value for one in measured.values() for key, value in one.intervals.items()}
        record: dict[str, Any] = {
            "weights": str(trained.weights),
            "digest": trained.digest,
            **{key: None if math.isnan(value) else value for key, value in measures.items()},
        }
        if found:
            from runwright.stages import intervals

            counts = {name: one.num_examples for name, one in measured.items()}
            record["intervals"] = intervals.record(
                found, self._method, self.num_bootstrap_runs, counts
            )
            intervals.write_table(run_dir / f"{stage}_intervals.csv", measures, found)
            if trained.draws and any(interval.is_known for interval in found.values()):
                intervals.draw(run_dir / "pictures" / f"{stage}_intervals.png", measures, found)
        for key, value in measures.items():
            log.info("%s %.4f%s", key, value, f" {found[key]}" if key in found else "")
        write_bytes(run_dir / f"{stage}.json", (json.dumps(record, indent=2) + "\n").encode())
        of = trained.monitored_split if trained.monitored_split in measured else self.split
        return measures[f"{of}_{trained.monitor}"]

    @property
    def _method(self) -> str | None:
        return self.ci_method or ("bootstrap_quantiles" if self.num_bootstrap_runs else None)

    def _measure(self, trained: Trained[Any], name: str, split: Split[Any]) -> "_Measured":
        from runwright.stages import intervals
        from runwright.stages.evaluating import evaluate

        method = self._method
        evaluation, table = evaluate(trained, split, keeps_table=method is not None)
        values = evaluation.compute()
        if trained.monitor not in values:
            raise UserError(
                f"training.monitor: nothing called '{trained.monitor}' is measured. "
                + did_you_mean(trained.monitor, values)
            )
        found: dict[str, Interval] = {}
        if method is not None and evaluation.bootstrap_unit is not None:
            if method == "binomial":
                raise UserError(
                    "stage.ci_method=binomial is for shares of examples; here "
                    f"{evaluation.bootstrap_unit} are resampled. Use bootstrap_quantiles or "
                    "bootstrap_t_interval, with stage.num_bootstrap_runs."
                )
            runs = evaluation.bootstrap(self.num_bootstrap_runs, trained.runtime.seed)
            found = intervals.of_runs(runs, method)
        elif method is not None:
            of_all = trained.objective.measures_of(table)
            values |= {one: value for one, value in of_all.items() if one not in values}
            found = intervals.of_table(
                trained.objective,
                table,
                method=method,
                num_bootstrap_runs=self.num_bootstrap_runs,
                seed=trained.runtime.seed,
            )
        evaluation.write(trained.runtime.run_dir, name)
        if trained.draws:
            evaluation.draw(trained.runtime.run_dir / "pictures", name)
        return _Measured(
            measures={f"{name}_{measure}": value for measure, value in values.items()},
            intervals={f"{name}_{measure}": interval for measure, interval in found.items()},
            num_examples=len(split),
        )


@attrs.frozen(kw_only=True)
class _Measured:
    """The measures and intervals of a split; their names start with the name of the split."""

    measures: dict[str, float]
    intervals: "dict[str, Interval]"
    num_examples: int


@factory("validate")
class Validate(MeasureStage):
    """Measure the validation splits."""

    split = "val"

    @override
    def splits(self, trained: Trained[Any]) -> Mapping[str, Split[Any]]:
        return trained.splits("val")


@factory("test")
class Test(MeasureStage):
    """Measure the test split."""

    split = "test"

    @override
    def splits(self, trained: Trained[Any]) -> Mapping[str, Split[Any]]:
        return trained.splits("test")
