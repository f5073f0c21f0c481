"""Composes everything that a project can compose, and finds what is wrong with it.

Overrides on the command line apply to every composition that has the option.
"""

import contextlib
import dataclasses
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, cast

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright import hints
from runwright.compose.convert import without_hydra
from runwright.compose.loader import to_config
from runwright.compose.overrides import parse_override
from runwright.config import Config
from runwright.errors import ConfigError, Disagreement, UserError, nearest
from runwright.factory import CONFIG_GROUPS, Settings, group_of, name_of
from runwright.plain import leaves, plain_values
from runwright.tools.check.cases import Case, Composed, member_cases, primary_cases
from runwright.tools.check.findings import Findings, listed
from runwright.tools.check.sizes import explain
from runwright.tools.project import Project, included

# What is said about a missing option without a default.
_MUST_BE_GIVEN: Final = (" must be given: ", " must be chosen (")

_NOT_FOUND: Final = re.compile(r"Could not (?:find|load) '(?P<group>.+)/(?P<name>[^/']+)'")
_TYPO: Final = 0.8  # more similar names are taken for mistyped ones

_CANNOT_COMPOSE: Final = (
    ConfigError,
    HydraException,
    OmegaConfBaseException,
    yaml.YAMLError,
    RecursionError,
)

_Classes: TypeAlias = Callable[[str], Iterable[type[Settings]]]


class Compositions:
    """Composes the cases of a project and notes what is wrong with them.

    Attributes:
        composed: the cases that compose; the default, if it does, is the first.
    """

    def __init__(self, project: Project, overrides: list[str], findings: Findings) -> None:
        """Read the overrides that apply to every composition.

        Raises:
            UserError: one of them cannot be read.
        """
        self.composed: list[Composed] = []
        self._project = project
        self._findings = findings
        parsed = {text: _parse(text) for text in overrides}
        # Some choose a member of a group, the others set an option.
        self._choices = {t: one for t, one in parsed.items() if self._is_group(one.key_or_group)}
        self._keys = {t: one.key_or_group for t, one in parsed.items() if t not in self._choices}
        self._holds: dict[str, list[str]] = {text: [] for text in self._keys}
        self._left_out: dict[str, list[str]] = {text: [] for text in self._keys}
        self._failures: list[tuple[Case, ConfigError]] = []
        self._swept: list[tuple[str, str, object]] = []

    def compose_all(self) -> None:
        """Compose everything.

        Raises:
            UserError: an override on the command line breaks the default.
        """
        usual = self._usual()
        chosen = self._choices.values()
        given = {one.key_or_group.partition("@")[0]: str(one.value()) for one in chosen}
        first, *others = primary_cases(self._project, usual, given)
        default = self._compose(first)
        if default is None and usual is not None:
            raise self._failures[0][1]  # what is wrong is on the command line
        for case in others:
            self._compose(case)
        for case in member_cases(
            self._project,
            usual,
            given,
            in_defaults=("dm", "model", "objective") if default is None else default.choices,
            findings=self._findings,
        ):
            self._compose(case)
        for path in self._project.unread:
            place = self._project.shown(path)
            self._findings.fault(
                place, "Hydra does not read .yml files. Rename it to end in .yaml."
            )
        self._report_overrides()
        self._report_failures()
        self._report_sweeps()

    def _usual(self) -> Config | None:
        """The default: without the command line, or with it if that sets what is required."""
        for overrides in ([], [*self._choices, *self._keys]):
            with contextlib.suppress(ConfigError):
                node = self._load(self._project.config_name, overrides)
                return to_config(without_hydra(node))
        return None

    def _compose(self, case: Case) -> Composed | None:
        """Compose a case with all overrides that apply to it."""
        name = self._project.config_name if case.group else case.name
        choices = [*case.overrides, *self._choices]
        try:
            node = self._load(name, [*choices, *self._concerning(case, name, choices)])
        except ConfigError as error:
            self._failures.append((case, error))
            return None
        self._note_sweep(case, node)
        composed = Composed(
            case=case,
            config=to_config(without_hydra(node)),
            choices=cast("dict[str, str | None]", dict(node.hydra.runtime.choices)),
        )
        self.composed.append(composed)
        return composed

    def _load(self, name: str, overrides: list[str]) -> DictConfig:
        try:
            return self._project.loader.load_configuration(
                name, overrides, RunMode.RUN, from_shell=False
            )
        except ConfigError:
            raise
        except HydraException as error:
            raise ConfigError([str(error)]) from error
        except Exception as error:  # a bug in one factory must not hide the others' faults
            raise ConfigError([explain(error).reason]) from error

    def _concerning(self, case: Case, name: str, choices: list[str]) -> list[str]:
        """The overrides for which a case has the option."""
        if not self._keys:
            return []
        try:
            loader = self._project.loader
            defaults = loader.compute_defaults_list(name, choices, RunMode.RUN)
        except _CANNOT_COMPOSE:
            return [] if case.group else list(self._keys)  # composing it will say what is wrong
        chosen = defaults.overrides.known_choices

        def classes(group: str) -> Iterable[type[Settings]]:
            for place, member in chosen.items():
                if place.partition("@")[0] == group and member is not None:
                    factory = self._project.factory_of(group, member)
                    yield from [] if factory is None else [CONFIG_GROUPS[group][factory]]

        kept = [text for text, key in self._keys.items() if self._has_option(key, classes)]
        for text in self._keys:
            (self._holds if text in kept else self._left_out)[text].append(case.place)
        return kept

    def _is_group(self, key: str) -> bool:
        group = key.partition("@")[0]
        return group in CONFIG_GROUPS or bool(self._project.members(group))

    def _has_option(self, key: str, classes: _Classes) -> bool:
        return key.startswith("hydra.") or has_option(self._project.config, key, classes)

    def _report_overrides(self) -> None:
        """Report what applies nowhere, and note what does not apply everywhere."""
        for text, left_out in self._left_out.items():
            holds, key = self._holds[text], self._keys[text]
            if left_out and not holds:
                self._findings.fault(text, f"nothing has an option '{key}'.{self._hint(key)}")
            elif left_out and len(left_out) <= len(holds):
                self._findings.note(f"{text} does not apply to {listed(left_out)}.")
            elif left_out:
                self._findings.note(f"{text} applies only to {listed(holds)}.")

    def _hint(self, key: str) -> str:
        known = {name for one in self.composed for name in _keys(one)}
        closest = nearest(key, known)
        return f" Did you mean '{closest}'?" if closest else ""

    def _report_failures(self) -> None:
        composing = {(one.case.group, one.case.name) for one in self.composed}
        for case, error in self._failures:
            users = {
                (file.group, file.name)
                for file in self._project.files
                if file.group == case.group and case.name in included(file)
            }
            if users & composing:
                self._findings.note(
                    f"{case.place} does not compose by itself; what builds on it does."
                )
                continue
            path = f"{case.group}/{case.name}" if case.group else case.name
            asks = case.file is None or "???" in case.file.path.read_text()
            for problem in error.problems:
                is_to_be_given = any(said in problem for said in _MUST_BE_GIVEN)
                is_factory = case.group and case.file is None
                if isinstance(problem, Disagreement) and is_factory:  # it goes with other choices
                    self._findings.note(f"{case.place} was not checked: {problem}")
                elif absent := self._absent(problem):
                    self._findings.note(f"{case.place} was not checked: {absent}")
                elif is_to_be_given and case.group and (asks or self._is_elsewhere(case, problem)):
                    self._findings.note(f"{case.place} was not checked: {problem}")
                else:  # the place already says which file it is
                    self._findings.fault(case.place, problem.removeprefix(f"In {path}.yaml: "))

    def _is_elsewhere(self, case: Case, problem: str) -> bool:
        """Whether what is to be given is an option of what goes with a factory, not of itself."""
        own = f"{case.group.replace('/', '.')}."
        return case.group in CONFIG_GROUPS and not problem.startswith(own)

    def _absent(self, problem: str) -> str | None:
        """A sentence on a member that is not there, if that may be because of what is installed."""
        named = _NOT_FOUND.search(problem)
        if named is None or named["group"] not in CONFIG_GROUPS:
            return None
        if nearest(named["name"], self._project.members(named["group"]), cutoff=_TYPO):
            return None
        return (
            f"there is no {named['group']}={named['name']} here. The package that brings it may "
            "not be installed."
        )

    def _note_sweep(self, case: Case, node: DictConfig) -> None:
        """Remember what a sweeper would vary, unless the default has it too."""
        params: Any = OmegaConf.select(node, "hydra.sweeper.params")
        for key, value in params.items() if isinstance(params, DictConfig) else ():
            if all((str(key), value) != seen[1:] for seen in self._swept):
                self._swept.append((case.place, str(key), value))

    def _report_sweeps(self) -> None:
        """Report what sweepers would vary that is not an option of anything."""
        for place, key, value in self._swept:
            try:
                parse_override(f"{key}={value}")
            except UserError as error:
                self._findings.fault(place, f"hydra.sweeper.params: {error}")
                continue
            plain = key.lstrip("+~").partition("@")[0]
            if not (self._is_group(plain) or self._has_option(plain, _all_members)):
                text = f"hydra.sweeper.params: nothing has an option '{key}'.{self._hint(plain)}"
                self._findings.fault(place, text)


def has_option(cls: type[Settings], key: str, classes: _Classes) -> bool:
    """Whether there is an option of this full key.

    Args:
        cls: the class that the key begins in.
        key: the full key; below a dictionary or a list, any key exists.
        classes: the factories that may be chosen in a group.
    """
    name, _, rest = key.partition(".")
    names = {field.name for field in dataclasses.fields(cast("Any", cls))}
    hint = typing.get_type_hints(cls).get(name) if name in names else None
    if hint is None or not rest:
        return hint is not None or cls.is_open
    for kind in hints.alternatives(hint):
        if not (isinstance(kind, type) and issubclass(kind, Settings)):
            if (typing.get_origin(kind) or kind) in (dict, list, tuple, Any):
                return True
            continue
        group = group_of(kind) if name_of(kind) is None else None
        if any(has_option(one, rest, classes) for one in (classes(group) if group else [kind])):
            return True
    return False


def _all_members(group: str) -> Iterable[type[Settings]]:
    return CONFIG_GROUPS.get(group, {}).values()


def _keys(composed: Composed) -> set[str]:
    """The full keys of all options, and the names of the groups."""
    keys = {key for key, _ in leaves(plain_values(composed.config))}
    return {*keys, *(key.partition(".")[0] for key in keys)}


def _parse(text: str) -> Override:
    override = parse_override(text)
    if override.is_sweep_override():
        raise UserError(f"{text}: give one value; without it, all members of a group are checked.")
    return override
