"""Finding everything that is wrong with a configuration, with the place and fix of each mistake.

Hydra stops at the first mistake. If there is one, `Mistakes` composes again, one piece at a time,
leaving out what does not fit.
"""

import contextlib
import copy
from collections.abc import Iterable, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Glob, Override, ValueType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from runwright.added_commands import COMMANDS, TOOLS
from runwright.compose import files
from runwright.compose._hydra import Composer, Repository, flag_names
from runwright.compose.convert import NO_FACTORY, NO_SCHEMA, Conversion, convert
from runwright.compose.explain import (
    USER_MISTAKES,
    Members,
    explain_deletion,
    explain_override,
    text_of,
)
from runwright.compose.file_shapes import not_in_utf8, wrong_suffixes
from runwright.compose.hydra_options import numbers_for_flags, wrong_in_hydra
from runwright.compose.merged_files import MergedFiles
from runwright.compose.nested_values import wrong_within
from runwright.compose.overrides import first_choice, parse_override, several_values
from runwright.compose.references import without_reference, without_training
from runwright.compose.typed_nodes import (
    declared,
    option_names,
    root_class,
)
from runwright.compose.unknown_options import unknown_part
from runwright.compose.values import give
from runwright.compose.wrong_choices import Choices, option_of
from runwright.domains import register_commands
from runwright.errors import NotGiven, UserError, nearest
from runwright.factory import Settings


class Mistakes:
    """Composes again, one piece at a time, to find everything that is wrong.

    Attributes:
        problems: one text per mistake.
        parts: the top-level options that are valid, by name; empty for a multirun.
    """

    def __init__(
        self,
        composer: Composer,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        *,
        from_shell: bool = True,
    ) -> None:
        self.problems: list[str] = []
        self.parts: dict[str, Any] = {}
        self._composer = composer
        self._repository = _repository(composer, config_name, overrides)
        parsed = self._parse(overrides, run_mode, from_shell=from_shell)
        choices = Choices(composer, self._repository, self.problems)
        try:
            wrong = choices.wrong(parsed)
            wrong |= choices.without_owner(config_name, parsed)
        except USER_MISTAKES as error:
            self.problems.extend(wrong_suffixes(self._repository) or [text_of(error)])
            return
        usable = [one for one in parsed if not _is_below(option_of(one), wrong)]
        usable = _without_repeats(usable, self._repository)
        try:
            defaults = choices.defaults_list(config_name, usable)
        except USER_MISTAKES as error:
            if isinstance(error, UnicodeDecodeError):
                self.problems.extend(not_in_utf8(self._repository))
                return
            # The entry of a data module overrides a group that only the schema has.
            no_schema = "override '/objective@_global_.objective" in str(error)
            self.problems.append(
                NO_SCHEMA if no_schema else choices.explain(error, config_name, usable)
            )
            return
        composed = MergedFiles(composer, self._repository, self.problems).merge(
            defaults.defaults, wrong
        )
        known_choices = dict(defaults.overrides.known_choices)
        OmegaConf.update(composed, "hydra.runtime.choices", known_choices, force_add=True)
        self.problems += files.check(
            composed, composer, self._repository, config_name, choices.used
        )
        OmegaConf.set_struct(composed, True)
        composed, given = self._give(defaults.config_overrides, composed, choices.members)
        wrong |= {one.key_or_group for one in defaults.config_overrides if one not in given}
        self.problems += without_reference(given, composed)
        self.problems += without_training(given, composed)
        self.problems += numbers_for_flags(given, composed)
        _, conversion = check(composed, config_name, run_mode, composer.loader, choices.members)
        found = conversion.problems
        self.parts = conversion.parts
        if "dm" in wrong or any(text.startswith("dm must be chosen") for text in found):
            wrong.add("objective")  # it would follow from the data
        if any(self._repository.has_group(key) and "." not in key for key in wrong - _of_run()):
            found = [text for text in found if not isinstance(text, NotGiven)]  # it may give them
        answered = [f"{key} must be {said}" for key in wrong for said in ("chosen", "given")]
        # Where a file takes the place of a factory, renaming it comes first.
        in_place = files.in_place_of_factories(composed, self._repository)
        nameless = files.without_factory(composed, self._repository)
        answered += [f"{key}: {NO_FACTORY}" for key in [*in_place, *nameless]]
        self.problems += [text for key, text in nameless.items() if key not in in_place]
        self.problems.extend(text for text in found if not text.startswith(tuple(answered)))

    def _give(
        self, overrides: Sequence[Override], composed: DictConfig, members: Members
    ) -> tuple[DictConfig, list[Override]]:
        """The composed node with the values of those overrides that fit, and these."""
        given: list[Override] = []
        refused: set[str | None] = set()
        failed: list[tuple[Override, Exception]] = []
        for one in overrides:
            unknown = unknown_part(one.key_or_group, composed)
            if unknown in refused:  # one mistake, however often it was typed
                continue
            refused |= {unknown} - {None}
            if one.is_delete() and (text := explain_deletion(one, composed)):
                self.problems.append(text)
                continue
            attempt = copy.deepcopy(composed)
            try:
                give(one, attempt, self._composer)
                composed = attempt
                given.append(one)
            except (*USER_MISTAKES, AttributeError, TypeError) as error:
                failed.append((one, error))
        for one, error in failed:  # with all that fits, on which the right name may depend
            within = wrong_within(one.key_or_group, one.value(), composed)
            self.problems += within or [explain_override(one, error, composed, members)]
        return composed, given

    def _parse(
        self, overrides: Sequence[str], run_mode: RunMode, *, from_shell: bool
    ) -> list[Override]:
        parsed: list[Override] = []
        for before, text in zip([None, *overrides], overrides, strict=False):
            try:
                one = parse_override(text, before=before)
                if one.is_sweep_override():
                    one = self._one_of_several(one, run_mode, from_shell=from_shell)
            except (*USER_MISTAKES, UserError) as error:
                self.problems.append(text_of(error) + _nearest_word(text))
            else:
                parsed += [] if one is None else [one]
        return parsed

    def _one_of_several(
        self, one: Override, run_mode: RunMode, *, from_shell: bool
    ) -> Override | None:
        """What to compose of an override with several values; of members of a group, the first."""
        is_group = self._repository.has_group(one.key_or_group)
        if isinstance(one.value(), Glob) and not is_group:
            return one  # a wrong choice
        if run_mode is RunMode.MULTIRUN:
            self._composer.check_sweeps([one], run_mode)
        else:
            has_commas = one.value_type is ValueType.SIMPLE_CHOICE_SWEEP
            text = several_values(
                str(one.input_line),
                is_choice=is_group or not has_commas,
                from_shell=from_shell,
                hint=declared(one.key_or_group),
            )
            self.problems.append(text)
        first = first_choice(one, self._repository) if is_group else None
        return one if first is None and run_mode is RunMode.MULTIRUN else first


def _of_run() -> set[str]:
    """The options of a run; a group that is none of them, as experiments are, sets several."""
    return {*option_names(root_class())}


def check(
    composed: DictConfig,
    config_name: str | None,
    run_mode: RunMode,
    loader: ConfigLoader,
    members: Members | None = None,
) -> tuple[Settings | None, Conversion]:
    """Check a composed configuration, values included.

    Returns:
        The frozen configuration, and what is wrong. The former is None for a multirun, whose jobs
        have one each, and without a primary configuration.
    """
    config, conversion = None, Conversion()
    if run_mode is not RunMode.MULTIRUN and config_name is not None:
        config, conversion = convert(composed, members)
    conversion.problems[:0] = wrong_in_hydra(composed, run_mode, loader)
    return config, conversion


def _repository(composer: Composer, config_name: str | None, overrides: list[str]) -> Repository:
    """Where the configurations are, including the folders that `hydra.searchpath` adds."""
    parsed: list[Override] = []
    for text in overrides:
        with contextlib.suppress(*USER_MISTAKES):
            parsed += composer.parse(None, [text])
    try:
        return composer.repository(config_name, parsed)
    except USER_MISTAKES:  # in the primary configuration; reported when it is read
        return composer.repository(None, [])


def _nearest_word(word: str) -> str:
    """A sentence with the option, flag or command that a single word most likely meant."""
    if not word.isidentifier():
        return ""
    meant = {name: f"'{name}=…'" for name in option_names(root_class())}
    meant |= {name: f"'--{name}'" for name in flag_names()}
    meant |= {name: f"the command `python -m runwright {name}`" for name in command_names()}
    closest = nearest(word, meant)
    return f" Did you mean {meant[closest]}?" if closest else ""


def command_names() -> set[str]:
    """The first words of the commands of `python -m runwright`."""
    register_commands()
    return {name.split()[0] for name in (*TOOLS, *COMMANDS)}


def _without_repeats(overrides: Sequence[Override], repository: Repository) -> list[Override]:
    """Without all but the last choice for the same place; `given_twice` has told the others."""
    last = {_place(one): one for one in overrides if repository.has_group(one.key_or_group)}
    return [one for one in overrides if last.get(_place(one), one) is one]


def _place(one: Override) -> tuple[str, str | None]:
    return one.key_or_group, one.package


def _is_below(key: str, options: Iterable[str]) -> bool:
    return any(f"{key}.".startswith(f"{option}.") for option in options)
