"""Comparing runs: what differs between them, and which differ only in their seed."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from runwright.comparison.run_record import RunRecord

# Where a run is made or how it is logged is not worth comparing. This is listed key by key: a key
# that is ignored by mistake would be averaged over.
_NOT_COMPARED: Final = frozenset(
    {
        *("checkpoint.allow_changes", "checkpoint.keep", "checkpoint.save_every"),
        *("checkpoint.keep_best", "checkpoint.keep_every", "training.find_unused_parameters"),
        *("gpu", "pictures", "seed", "stage", "tensorboard"),
    }
)


@attrs.frozen(kw_only=True)
class Group:
    """Runs that differ only in their seed.

    Attributes:
        options: what sets them apart from the others: key → value.
        runs: the runs.
    """

    options: tuple[str, ...]
    runs: list[RunRecord]

    @property
    def finished(self) -> list[RunRecord]:
        """Those that have finished, the newest of each seed."""
        return _newest_of_each_seed(run for run in self.runs if run.has_finished)

    @property
    def shown(self) -> list[RunRecord]:
        """Those whose value stands for the group: if none has finished, those that have one."""
        measured = (run for run in self.runs if math.isfinite(run.best))
        return self.finished or _newest_of_each_seed(measured)

    @property
    def mean(self) -> float:
        """The mean of their best values; NaN without any."""
        return statistics.fmean(run.best for run in self.shown) if self.shown else math.nan

    @property
    def sd(self) -> float:
        """Their standard deviation (n − 1); NaN if fewer than two have finished."""
        values = [run.best for run in self.finished]
        return statistics.stdev(values) if len(values) > 1 else math.nan

    @property
    def repeated_seed_notes(self) -> list[str]:
        """What to report about seeds that have finished more than once."""
        finished = [run for run in self.runs if run.has_finished]
        return [
            f"Seed {seed_of(run)} was run {count} times with the same configuration: {run.path} is "
            "the newest, and the one that counts."
            for run in self.finished
            if (count := sum(seed_of(other) == seed_of(run) for other in finished)) > 1
        ]


def differing(runs: Sequence[RunRecord]) -> list[str]:
    """The options that are not the same in all runs, except those not worth comparing."""
    keys = dict.fromkeys(key for run in runs for key in run.options)
    return [
        key
        for key in keys
        if not (key in _NOT_COMPARED or key.startswith("wandb."))
        and len({run.options.get(key) for run in runs}) > 1
    ]


def grouped(runs: Iterable[RunRecord], keys: Sequence[str]) -> list[Group]:
    """Groups of runs that differ only in their seed, the best first."""
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(tuple(run.options.get(key, "–") for key in keys), []).append(run)
    found = [Group(options=options, runs=members) for options, members in groups.items()]

    def rank(group: Group) -> tuple[bool, bool, float]:
        sign = -1 if group.runs[0].higher_is_better else 1
        return not group.finished, not group.shown, sign * group.mean if group.shown else 0.0

    return sorted(found, key=rank)


def by_monitor(runs: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """The runs by the measure that decides; last, under "", those without any measure."""
    found: dict[str, list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: (run.monitor is None, run.monitor)):
        found.setdefault(run.monitor or "", []).append(run)
    return found


def seed_of(run: RunRecord) -> str:
    """The seed of a run, as text."""
    return run.options.get("seed", "?")


def _newest_of_each_seed(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """One run per seed: a repetition is not another sample."""
    return list({seed_of(run): run for run in sorted(runs, key=lambda run: run.started)}.values())
