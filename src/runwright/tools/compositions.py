"""Composes all that a project can compose, and finds out what is wrong with it.

What the user gives on the command line holds for every composition that has such an option.
"""

import contextlib
import dataclasses
import re
from typing import Any, Final, cast

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright.compose import schema
from runwright.compose._hydra import search_path
from runwright.compose.collect import without_hydra
from runwright.compose.loader import DelegatingLoader, StrictConfigLoader, to_config
from runwright.compose.overrides import parse_override
from runwright.config import Config
from runwright.errors import ConfigError, UserError, nearest
from runwright.factory import CONFIG_GROUPS
from runwright.plain import leaves, plain_values
from runwright.tools.cases import Case, Composed, member_cases, primary_cases
from runwright.tools.findings import Findings, listed
from runwright.tools.project import Project, included
from runwright.tools.sizes import explain

# What the schema says of an option without a default.
_MUST_BE_GIVEN: Final = re.compile(r" must be (given: |chosen \()")

_CIRCLE: Final = (
    "The defaults lists lead in a circle. A YAML file cannot build on something of its own name: "
    "give the file another."
)


class Compositions:
    """Composes the cases of a project and notes what is wrong with them.

    Attributes:
        composed: the cases that compose; the default, if it does, is the first.
    """

    def __init__(self, project: Project, overrides: list[str], findings: Findings) -> None:
        """Read the overrides that hold for every composition.

        Raises:
            UserError: one of them cannot be read.
        """
        schema.store(project.config)
        path = search_path(project.conf)
        self.composed: list[Composed] = []
        self._project = project
        self._findings = findings
        self._strict = StrictConfigLoader(path)
        self._lenient = DelegatingLoader(path)
        parsed = {text: _parse(text) for text in overrides}
        # Some choose a member of a group, the others give a value to an option.
        self._choices = {t: one for t, one in parsed.items() if self._is_group(one.key_or_group)}
        self._keys = {t: one.key_or_group for t, one in parsed.items() if t not in self._choices}
        self._holds: dict[str, list[str]] = {text: [] for text in self._keys}
        self._left_out: dict[str, list[str]] = {text: [] for text in self._keys}
        self._failures: list[tuple[Case, ConfigError]] = []
        self._nodes: list[DictConfig] = []
        self._swept: list[tuple[str, str, object]] = []

    def compose_all(self) -> None:
        """Compose everything.

        Raises:
            UserError: an override of the command line spoils the default.
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
            is_known=self._is_config,
            findings=self._findings,
        ):
            self._compose(case)
        for path in self._project.unread:
            place = self._project.shown(path)
            self._findings.fault(place, "Hydra reads no .yml files. Rename it to end in .yaml.")
        self._report_overrides()
        self._report_failures()
        self._report_sweeps()

    def _usual(self) -> Config | None:
        """The default: without the command line, or with it where that gives what is required."""
        for overrides in ([], [*self._choices, *self._keys]):
            with contextlib.suppress(ConfigError):
                node = self._load(self._project.config_name, overrides)
                return to_config(without_hydra(node))
        return None

    def _compose(self, case: Case) -> Composed | None:
        """Compose a case with all overrides that concern it."""
        name = self._project.config_name if case.group else case.name
        choices = [*case.overrides, *self._choices]
        try:
            node = self._load(name, [*choices, *self._concerning(case, name, choices)])
        except ConfigError as error:
            self._failures.append((case, error))
            return None
        self._nodes.append(node)
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
            return self._strict.load_configuration(name, overrides, RunMode.RUN, from_shell=False)
        except ConfigError:
            raise
        except RecursionError:
            raise ConfigError([_CIRCLE]) from None
        except HydraException as error:
            raise ConfigError([str(error)]) from error
        except Exception as error:  # a bug in one factory must not hide the others' faults
            raise ConfigError([explain(error).reason]) from error

    def _concerning(self, case: Case, name: str, choices: list[str]) -> list[str]:
        """The overrides for which there is an option in a case."""
        if not self._keys:
            return []
        try:
            node = self._lenient.load_configuration(name, choices, RunMode.RUN, from_shell=False)
        except (HydraException, OmegaConfBaseException, yaml.YAMLError, RecursionError):
            return [] if case.group else list(self._keys)  # composing it will say what is wrong
        self._nodes.append(node)
        kept = [text for text, key in self._keys.items() if _has_option(node, key)]
        for text in self._keys:
            (self._holds if text in kept else self._left_out)[text].append(case.place)
        return kept

    def _is_config(self, path: str) -> bool:
        group, _, name = path.rpartition("/")
        return name in self._strict.get_group_options(group)

    def _is_group(self, key: str) -> bool:
        return bool(self._strict.get_group_options(key.partition("@")[0], None))

    def _report_overrides(self) -> None:
        """Find what applies nowhere, and note what does not apply everywhere."""
        wrong = [text for text in self._keys if not self._holds[text]]
        if wrong and self._nodes:
            for text in wrong:
                key = self._keys[text]
                self._findings.fault(text, f"nothing has an option '{key}'.{self._hint(key)}")
        for text, left_out in self._left_out.items():
            holds = self._holds[text]
            if text in wrong:
                continue
            if left_out and len(left_out) <= len(holds):
                self._findings.note(f"{text} does not concern {listed(left_out)}.")
            elif left_out:
                self._findings.note(f"{text} concerns only {listed(holds)}.")

    def _is_known(self, key: str) -> bool:
        """Whether anything has this option, also what the command line leaves out."""
        group, _, name = key.partition(".")
        members = CONFIG_GROUPS.get(group, {}).values()
        return any(name.split(".")[0] in _options(cls) for cls in members) or any(
            _has_option(node, key) for node in self._nodes
        )

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
                if _MUST_BE_GIVEN.search(problem) and asks and case.group:
                    self._findings.note(f"{case.place} was not checked: {problem}")
                else:  # the place already says which file it is
                    self._findings.fault(case.place, problem.removeprefix(f"In {path}.yaml: "))

    def _note_sweep(self, case: Case, node: DictConfig) -> None:
        """Remember what a sweeper would vary, unless the default already has it."""
        params: Any = OmegaConf.select(node, "hydra.sweeper.params")
        for key, value in params.items() if isinstance(params, DictConfig) else ():
            if all((str(key), value) != seen[1:] for seen in self._swept):
                self._swept.append((case.place, str(key), value))

    def _report_sweeps(self) -> None:
        """Find what sweepers would vary that is no option of anything."""
        for place, key, value in self._swept:
            try:
                OverridesParser.create().parse_override(f"{key}={value}")
            except HydraException as error:
                self._findings.fault(place, f"hydra.sweeper.params: {key}: {value}: {error}")
                continue
            plain = key.lstrip("+~").partition("@")[0]
            if not (self._is_group(plain) or self._is_known(plain)):
                text = f"hydra.sweeper.params: nothing has an option '{key}'.{self._hint(plain)}"
                self._findings.fault(place, text)


def _has_option(node: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    owner: Any = OmegaConf.select(node, parent) if parent else node
    if not isinstance(owner, DictConfig):
        return False
    cls = OmegaConf.get_type(owner)
    # A dictionary takes any key.
    return name in _options(cls) if dataclasses.is_dataclass(cls) else True


def _options(cls: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def _keys(composed: Composed) -> set[str]:
    """The full keys of all options, and the names of the groups."""
    keys = {key for key, _ in leaves(plain_values(composed.config))}
    return {*keys, *(key.partition(".")[0] for key in keys)}


def _parse(text: str) -> Override:
    override = parse_override(text)
    if override.is_sweep_override():
        raise UserError(f"{text}: give one value; without it, all members of a group are checked.")
    return override
