"""Which runs are compared with each other, and which only repeat each other."""

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from runwright.comparison.run_record import RunRecord

SEED: Final = "seed"

# Where a run is made or how it is logged is not worth comparing. This is listed key by key: a key
# that is ignored by mistake would be averaged over.
_NOT_COMPARED: Final = frozenset(
    {
        *("checkpoint.allow_changes", "checkpoint.keep", "checkpoint.save_every"),
        *("checkpoint.keep_best", "checkpoint.keep_every", "training.find_unused_parameters"),
        *("gpu", "pictures", "stage", "tensorboard"),
    }
)


@attrs.frozen
class Summary:
    """One measure of runs that repeat each other.

    Attributes:
        values: of each run that has it.
        interval: the 95 % interval of a single run that measured one; None otherwise.
    """

    values: tuple[float, ...]
    interval: tuple[float, float] | None = None

    @property
    def mean(self) -> float:
        """The mean; NaN without a value."""
        return statistics.fmean(self.values) if self.values else math.nan

    @property
    def sd(self) -> float:
        """The standard deviation (n − 1); NaN of fewer than two values."""
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean, by Student's t; of a single run, its own."""
        if len(self.values) < 2:
            return self.interval
        from scipy.stats import t

        half = float(t.ppf(0.975, len(self.values) - 1)) * self.sd / math.sqrt(len(self.values))
        return self.mean - half, self.mean + half


@attrs.frozen(kw_only=True)
class Group:
    """Runs that differ only in what is averaged over: their seed, say.

    Attributes:
        options: what sets them apart from the others: key → value.
        runs: the runs.
        over: the options that are averaged over.
    """

    options: Mapping[str, str]
    runs: list[RunRecord]
    over: tuple[str, ...]

    @property
    def finished(self) -> list[RunRecord]:
        """Those that have finished, the newest of each repetition."""
        return self.newest(run for run in self.runs if run.has_finished)

    @property
    def shown(self) -> list[RunRecord]:
        """Those whose values stand for the group: if none has finished, those that have some."""
        measured = (run for run in self.runs if math.isfinite(run.best))
        return self.finished or self.newest(measured)

    def summary(self, measure: str) -> Summary:
        """The values of a measure in the runs that stand for the group."""
        having = [run for run in self.shown if math.isfinite(run.value(measure))]
        interval = having[0].intervals.get(measure) if len(having) == 1 else None
        return Summary(tuple(run.value(measure) for run in having), interval)

    def repetition(self, run: RunRecord) -> tuple[str, ...]:
        """What a run has of the options that are averaged over."""
        return tuple(run.options.get(key, "?") for key in self.over)

    @property
    def repeated_notes(self) -> list[str]:
        """What to report about repetitions that have finished more than once."""
        finished = [self.repetition(run) for run in self.runs if run.has_finished]
        return [
            f"{self.named(run)} was run {count} times with the same configuration: {run.path} is "
            "the newest, and the one that counts."
            for run in self.finished
            if (count := finished.count(self.repetition(run))) > 1
        ]

    def named(self, run: RunRecord) -> str:
        """A repetition in words: "Seed 3", "Seed 3, dm.fold 1"."""
        pairs = zip(self.over, self.repetition(run), strict=True)
        said = ", ".join(f"{key} {value}" for key, value in pairs)
        return said[:1].upper() + said[1:]

    def listed(self, runs: Iterable[RunRecord]) -> str:
        """What some of the runs have of what is averaged over: "seeds 1, 2; dm.fold 0"."""
        return "; ".join(
            f"{key}{'s' if key == SEED and len(every) > 1 else ''} {', '.join(every)}"
            for key, every in self.values(runs).items()
        )

    def values(self, runs: Iterable[RunRecord]) -> dict[str, list[str]]:
        """The values of what is averaged over in some of the runs, where there are several."""
        those = list(runs)
        found = {
            key: sorted({run.options.get(key, "?") for run in those}, key=lambda v: (len(v), v))
            for key in self.over
        }
        return {key: every for key, every in found.items() if key == SEED or len(every) > 1}

    def newest(self, runs: Iterable[RunRecord]) -> list[RunRecord]:
        """One run per repetition: the same configuration again is not another sample."""
        in_order = sorted(runs, key=lambda run: run.started)
        return list({self.repetition(run): run for run in in_order}.values())


def differing(runs: Sequence[RunRecord], over: Sequence[str] = (SEED,)) -> list[str]:
    """The options that tell runs apart, except those not worth comparing.

    What follows from the chosen member of a group tells no more than the member does: that only
    `model=fcn` has a `model.num_hidden`, or another `model.activation` than `model=cnn`. Nor do
    texts that name the seed, `data/1` and `data/2` for seeds 1 and 2, where it is averaged over.
    """
    keys = dict.fromkeys(key for run in runs for key in run.options)
    return [
        key
        for key in keys
        if not (key in over or key in _NOT_COMPARED or key.startswith("wandb."))
        and len({run.options.get(key) for run in runs}) > 1
        and not (SEED in over and len({_without_seed(run, key) for run in runs}) == 1)
        and not any(key.startswith(f"{group}.") for group in over)
        and not any(_follows(key, group, runs) for group in above(key))
    ]


def naming_the_seed(runs: Sequence[RunRecord]) -> dict[str, str]:
    """The options of runs that are the same but for the seed that they name, with `${seed}`."""
    keys = [key for key in runs[0].options if key != SEED and key not in _NOT_COMPARED]
    found = {key: {_without_seed(run, key) for run in runs} for key in keys}
    return {
        key: text
        for key, texts in found.items()
        if len(texts) == 1
        and (text := next(iter(texts))) is not None
        and len({run.options.get(key) for run in runs}) > 1
    }


def _without_seed(run: RunRecord, key: str) -> str | None:
    """The value of an option, with `${seed}` where a text has the seed as a word of its own."""
    value = run.options.get(key)
    if value is None or not re.search(r"[^\W\d]", value):  # a number may be the seed's by chance
        return value
    return re.sub(rf"(?<!\w){re.escape(run.options.get(SEED, '?'))}(?!\w)", "${seed}", value)


def above(key: str) -> list[str]:
    """The groups that an option, or a group within another, may belong to, by its key."""
    parts = re.split(r"[./]", key)
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _follows(key: str, group: str, runs: Sequence[RunRecord]) -> bool:
    """Whether each member of a group has one value of an option, or none has it."""
    if not all(group in run.options for run in runs):
        return False
    pairs = {(run.options[group], run.options.get(key)) for run in runs}
    return len(pairs) == len({member for member, _ in pairs})


def grouped(runs: Iterable[RunRecord], keys: Sequence[str], over: Sequence[str]) -> list[Group]:
    """Groups of runs that differ in none of these options, in the order of the runs."""
    groups: dict[tuple[str | None, ...], list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(tuple(run.options.get(key) for key in keys), []).append(run)
    return [
        Group(
            options={
                key: value for key, value in zip(keys, values, strict=True) if value is not None
            },
            runs=members,
            over=tuple(over),
        )
        for values, members in groups.items()
    ]


def best_first(groups: Iterable[Group], measure: str) -> list[Group]:
    """Groups by the mean of a measure; those in which nothing has finished come last."""

    def rank(group: Group) -> tuple[bool, bool, float]:
        mean = group.summary(measure).mean
        sign = -1 if group.runs[0].is_higher_better(measure) else 1
        return not group.finished, math.isnan(mean), 0.0 if math.isnan(mean) else sign * mean

    return sorted(groups, key=rank)


def by_option(groups: Iterable[Group], key: str) -> list[Group]:
    """Groups by the value of an option: numbers by their size, before texts."""

    def rank(group: Group) -> tuple[bool, float, str]:
        value = group.options.get(key, group.runs[0].options.get(key, ""))
        try:
            return False, float(value), ""
        except ValueError:
            return True, 0.0, value

    return sorted(groups, key=rank)


def apart(runs: Iterable[RunRecord], keys: Sequence[str]) -> dict[tuple[str, ...], list[RunRecord]]:
    """The runs of each table: by these options and by the measure that decides.

    Returns:
        Their values and that measure → the runs. Those without any measure are in the first table
        of the same values, or if there is none, in one of their own, whose measure is "".
    """
    found: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: (run.monitor is None, run.monitor)):
        values = tuple(run.options.get(key, "–") for key in keys)
        place = (*values, run.monitor or "")
        if run.monitor is None:
            place = next((one for one in found if one[:-1] == values), place)
        found.setdefault(place, []).append(run)
    return found
