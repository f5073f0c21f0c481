"""Which directory of a multirun belongs to a job when the jobs are numbered differently.

Hydra numbers the jobs of a multirun, and each writes to the directory of its number. A command
that is repeated with its values in another order, or with more of them, numbers the same jobs
differently.
"""

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from runwright.config import Config
from runwright.errors import UserError
from runwright.factory import Settings
from runwright.rundir.changes import decisive_values, differences, read_record


class JobDirectories:
    """The directories of the jobs that ran in the directory of a multirun before.

    Attributes:
        folder: the directory of the multirun.
    """

    def __init__(self, folder: Path, submitted: Mapping[Path, Sequence[str]] | None = None) -> None:
        """Look for them; they are read when they are asked for.

        Args:
            folder: the directory of the multirun.
            submitted: the overrides of the jobs that were put into a queue, by where they run.
        """
        self.folder = folder
        numbered = folder.iterdir() if folder.is_dir() else ()
        begun = {path for path in numbered if path.name.isdecimal() and _record(path).is_file()}
        self._waiting = {
            path: frozenset(overrides)
            for path, overrides in (submitted or {}).items()
            if path.parent == folder and path.name.isdecimal() and path not in begun
        }
        self._earlier = sorted(begun | self._waiting.keys(), key=lambda path: int(path.name))
        self._submitted = _grouped((one, path) for path, one in self._waiting.items())
        self._records: dict[Path, dict[str, Any]] = {}
        self._recorded: dict[tuple[str, ...], dict[Any, list[Path]]] = {}
        self._given: set[Path] = set()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._earlier)

    def place(
        self, number: int, config: Config, swept: Collection[str], overrides: Sequence[str] = ()
    ) -> Path:
        """The directory of a job: the one that holds its run, or its own, or the next free one.

        A job that differs from its own directory's record in more than the values that the command
        varies gets that directory anyway: the command was changed, and the run refuses to
        resume.

        Args:
            number: the job's number in this command.
            config: what it runs.
            swept: the keys of which this command goes through several values.
            overrides: what it was composed with. A job that waits in a queue is known by that.
        """
        place = self._find(self.folder / str(number), config, swept, overrides)
        self._given.add(place)
        return place

    def _find(
        self, own: Path, config: Config, swept: Collection[str], overrides: Sequence[str]
    ) -> Path:
        if not self or not config.stage.trains or config.checkpoint.allow_changes:
            return own
        if config.overwrite and own not in self._waiting:
            return own
        is_anothers = own in self._given
        if not is_anothers and (own in self._waiting or _record(own).is_file()):
            try:
                changed = self._differing(own, config, overrides)
            except UserError:
                return own  # the run there will report what is wrong with its record
            if not changed:
                return own
            is_anothers = all(_is_of(key, config, swept) for key in changed)
        alike = self._alike(config, swept, overrides)
        same = next((path for path in alike if self._holds(path, config, overrides)), None)
        if same is not None:
            return same
        return self._next_free(own) if is_anothers else own

    def _alike(
        self, config: Config, swept: Collection[str], overrides: Sequence[str]
    ) -> list[Path]:
        """The directories of jobs with the same values of what the command varies, in order.

        Comparing each job of a grid with every record would take minutes.
        """
        values = decisive_values(config, swept)
        keys = tuple(values)
        if keys not in self._recorded:
            self._recorded[keys] = _grouped(self._with_values(keys))
        recorded = self._recorded[keys]
        found = [
            *recorded.get(tuple(values.values()), ()),
            *recorded.get(None, ()),
            *self._submitted.get(frozenset(overrides), ()),
        ]
        return sorted(found, key=lambda path: int(path.name))

    def _with_values(self, keys: tuple[str, ...]) -> Iterator[tuple[Any, Path]]:
        """The values of these keys in every record, None where it lacks one; and its directory."""
        for path in self._earlier:
            if path in self._waiting:
                continue
            with contextlib.suppress(UserError, TypeError):  # it is damaged, or has a list there
                record = self._read(path)
                values = tuple(record[key] for key in keys if key in record)
                hash(values)
                yield values if len(values) == len(keys) else None, path

    def _holds(self, path: Path, config: Config, overrides: Sequence[str]) -> bool:
        try:
            return path not in self._given and not self._differing(path, config, overrides)
        except UserError:  # a damaged record is that of no job
            return False

    def _differing(self, path: Path, config: Config, overrides: Sequence[str]) -> Collection[str]:
        """The keys in which a job differs from the one that has a directory."""
        if (submitted := self._waiting.get(path)) is not None:
            return {_key(one) for one in submitted.symmetric_difference(overrides)}
        return differences(self._read(path), config)

    def _read(self, path: Path) -> dict[str, Any]:
        if path not in self._records:
            self._records[path] = read_record(_record(path))
        return self._records[path]

    def _next_free(self, own: Path) -> Path:
        """Make the first directory with a higher number that is not in use."""
        for number in itertools.count(int(own.name) + 1):
            path = self.folder / str(number)
            if path in self._given or path in self._waiting:
                continue
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path
        raise AssertionError


_Key = TypeVar("_Key")


def _grouped(keyed: Iterable[tuple[_Key, Path]]) -> dict[_Key, list[Path]]:
    found = defaultdict[_Key, list[Path]](list)
    for key, path in keyed:
        found[key].append(path)
    return found


def _record(path: Path) -> Path:
    return path / "config.yaml"


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _is_of(key: str, config: Config, swept: Collection[str]) -> bool:
    """Whether an option has its value because of what the command varies.

    A member of a group may set any option.
    """
    return any(
        key == one or key.startswith(f"{one}.") or not _is_option(one, config) for one in swept
    )


def _is_option(key: str, config: Config) -> bool:
    value: Any = config
    for name in key.split("."):
        if isinstance(value, dict):
            return True
        if not hasattr(value, name):
            return False
        value = getattr(value, name)
    return not isinstance(value, Settings)
