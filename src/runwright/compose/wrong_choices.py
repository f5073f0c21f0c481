"""Wrong choices of members of groups, and what was most likely meant by each."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from hydra.core.override_parser.types import Glob, Override
from hydra.errors import ConfigCompositionException, MissingConfigException

from runwright.compose._hydra import Composer, Repository
from runwright.compose.explain import USER_MISTAKES, text_of
from runwright.compose.files import entries_twice
from runwright.compose.members import groups, members
from runwright.compose.overrides import parse_override
from runwright.compose.plugin_parts import without_part
from runwright.compose.typed_nodes import (
    is_required,
    option_names,
    owners_of_usual,
    places_of,
    root_class,
)
from runwright.compose.unknown_options import NOT_GLOBAL
from runwright.compose.unregistered import HOW_TO_IMPORT, explain_missing
from runwright.domains import NOT_LOADED
from runwright.errors import did_you_mean, nearest
from runwright.factory import CONFIG_GROUPS, choice, described

_UNUSED: Final = re.compile(
    r"In '(?P<file>.+)': Invalid Defaults List override '(?P<entry>.+)'\.\n"
    r"No earlier Group Default for '(?P<key>.+)' exists to override\."
)


_DUPLICATE: Final = re.compile(r"Duplicate _self_ defined in (\S+)")
_WHERE: Final = "In an experiment, the first line must be `# @package _global_`."


class Choices:
    """Checks the choices of members of groups.

    Attributes:
        problems: gets one text per mistake.
        used: the overrides of the defaults list, as they were meant.
    """

    def __init__(self, composer: Composer, repository: Repository, problems: list[str]) -> None:
        self.problems = problems
        self.used: list[Override] = []
        self._composer = composer
        self._repository = repository

    def wrong(self, overrides: Sequence[Override]) -> set[str]:
        """The options for which a nonexistent member of their group was chosen."""
        wrong: set[str] = set()
        for one in overrides:
            group = one.key_or_group
            is_group = self._repository.has_group(group)
            if ("/" in group or isinstance(one.value(), Glob)) and not is_group:
                wrong.add(option_of(one))
                hint = did_you_mean(group, groups(self._repository))
                self.problems.append(f"{one.input_line}: there is no group '{group}'. {hint}")
                continue
            sets_options = isinstance(one.value(), dict)
            if one.is_sweep_override() or sets_options or not is_group:
                continue
            if one.is_delete():
                if is_required(group, option_of(one)):
                    wrong.add(option_of(one))
                    choices = "|".join(self.members(group))
                    key = one.get_key_element()
                    self.problems.append(
                        f"{key}: one must be chosen. Leave this out, or choose another: "
                        f"{key.lstrip('~')}={choices}"
                    )
                continue
            value = one.value()
            names = cast("list[object]", value if isinstance(value, list) else [value])
            for name in names:
                if isinstance(name, str) and self._repository.has_config(f"{group}/{name}"):
                    continue
                wrong.add(option_of(one))
                shown = "null" if name is None else str(name)
                known = self.members(group)
                hint = " ".join([did_you_mean(shown, known), *NOT_LOADED.values()])
                key = one.get_key_element().lstrip("+")
                if name is None and is_required(group, option_of(one)):
                    self.problems.append(f"{key}=null: one must be chosen. {hint}")
                    continue
                if name is None:
                    hint += f" To choose none: ~{key}"
                elif nearest(shown, known) is None:
                    hint = " ".join([hint, *_classes_named(group, shown), HOW_TO_IMPORT])
                typed = f"{key}={shown}"
                if isinstance(value, list):
                    typed = f"{str(one.input_line).lstrip('+')}: {shown}"
                self.problems.append(f"{typed}: there is no such {group}. {hint}")
        return wrong

    def without_owner(self, config_name: str | None, overrides: Sequence[Override]) -> set[str]:
        """The options of plugins for which a member is chosen, and which those chosen lack."""
        wrong: set[str] = set()
        for one in overrides:
            group, _, part = one.key_or_group.rpartition("/")
            if "/" not in group or not self._repository.has_group(group):
                continue
            others = [other for other in overrides if other is not one]
            try:
                found = self._composer.defaults(self._repository, config_name, others)
            except USER_MISTAKES:  # which is told of itself
                continue
            chosen = f"{group}/{found.overrides.known_choices.get(group)}"
            if said := without_part(self._repository, chosen, part):
                wrong.add(option_of(one))
                self.problems.append(f"{one.input_line}: {said}")
        return wrong

    def members(self, group: str) -> list[str]:
        """Everything that can be chosen in a group, including YAML files."""
        return members(self._repository, group)

    def defaults_list(self, config_name: str | None, overrides: list[Override]) -> Any:
        """What the defaults lists and the overrides choose.

        A choice with a missing or superfluous "+" is noted, and applied anyway.
        """
        try:
            # Missing choices are found later, together with everything else.
            found = self._composer.defaults(self._repository, config_name, overrides)
            self.used = overrides
        except ConfigCompositionException as error:
            text = text_of(error)
            for index, one in enumerate(overrides):
                if (told := _correction(one, text)) is None:
                    continue
                meant, explained = told
                self.problems.append(explained)
                again = [parse_override(meant)] if meant else []
                rest = [*overrides[:index], *again, *overrides[index + 1 :]]
                return self.defaults_list(config_name, rest)
            raise
        return found

    def explain(
        self, error: BaseException, config_name: str | None, overrides: Sequence[Override]
    ) -> str:
        """The text for a defaults list that cannot be resolved, with the nearest right name."""
        if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
            return explain_missing(error, self._repository, config_name, overrides)
        if isinstance(error, ConfigCompositionException):
            chosen = [f"{one.key_or_group}/{one.value()}" for one in overrides]
            named = _DUPLICATE.findall(text_of(error))  # in what another file chooses
            files = dict.fromkeys([config_name, *chosen, *named])
            if twice := entries_twice(files, self._repository):
                return "\n".join(twice)
        unused = _UNUSED.fullmatch(str(error))
        return self._explain_unused(unused) if unused else text_of(error)

    def _explain_unused(self, unused: re.Match[str]) -> str:
        """The text for an entry `override …` in a defaults list that overrides nothing."""
        entry, (group, _, package) = unused["entry"], unused["key"].partition("@")
        text = f"In {unused['file']}.yaml: `override {entry}`: "
        folder = unused["file"].rpartition("/")[0].replace("/", ".")
        if package.startswith(f"{folder}.") and folder not in option_names(root_class()):
            return f"{text}{NOT_GLOBAL}"
        plugins, _, part = group.rpartition("/")
        if plugins and (said := without_part(self._repository, unused["file"], part)):
            return f"{text}{said}"
        if self._repository.has_group(group):
            if package and package != group.replace("/", "."):
                return f"{text}no '{group}' is chosen for '{package}'. {_WHERE}"
            return f"{text}no '{group}' is chosen before it. To choose one, leave out `override`."
        top = entry.partition(":")[0].partition("@")[0]
        if self._repository.has_group(top):  # Hydra looked for it next to the file
            return f"{text}there is no group '{group}'. Did you mean `override /{entry}`?"
        hint = did_you_mean(group, groups(self._repository))
        return f"{text}there is no group '{group}'. {hint}"


def _correction(one: Override, text: str) -> tuple[str, str] | None:
    """What was meant by a choice that Hydra refuses with this text, and what to say; or None."""
    key, typed = one.get_key_element().lstrip("+"), str(one.input_line)
    if text.startswith(f"Could not override '{key}'. No match in the defaults list."):
        return _with_place(one)
    group = one.key_or_group
    is_usual_place = one.package == group.replace("/", ".")
    key = group if is_usual_place else key
    meant = f"{key}={typed.partition('=')[2]}"
    if text == f"force-add of config groups is not supported: '{typed}'":
        return meant, f"{typed}: ++ is for options, not for choices. Write {meant}."
    if text.startswith(f"Could not override '{group}@{one.package}'.") and is_usual_place:
        return meant, f"{typed}: the place of {key} needs no @. Write {meant}."
    is_twice = f"Multiple values for {key}.", f"{key} appears more than once in the final defaults"
    if one.is_add() and text.startswith(is_twice):
        return meant, f"{typed}: {key} is chosen already. Write {meant}."
    return None


def _with_place(one: Override) -> tuple[str, str]:
    """The correction of a choice for a group that is not in any defaults list, and what to say.

    The correction is empty if nothing that is chosen takes a member of this group.
    """
    typed = str(one.input_line)
    group = one.key_or_group
    if usual := list(owners_of_usual(group)):
        who = " or ".join(dict.fromkeys(f"{owners}={name}" for owners, name, _ in usual))
        return "", f"{typed}: no chosen component takes a member of '{group}'; {who} does."
    places = places_of(group, root_class())
    if one.package is not None or group in places or not places:
        said = f"{typed}: nothing is chosen by default for '{one.get_key_element()}'."
        return f"+{typed}", f"{said} Write +{typed}"
    value = typed.partition("=")[2]
    ways = [f"+{choice(group, place)}={value}" for place in places]
    return ways[0], f"{typed}: nothing chooses '{group}' by default. Write {' or '.join(ways)}."


def _classes_named(group: str, name: str) -> Iterator[str]:
    """Sentences on the options of a group's members that take the name of a class."""
    for cls in CONFIG_GROUPS.get(group, {}).values():
        for field in dataclasses.fields(cast("Any", cls)):
            if field.name.endswith("_cls"):
                key = f"{group.replace('/', '.')}.{field.name}"
                yield f"If it is the {described(field).doc}, write {key}={name}."


def option_of(one: Override) -> str:
    """The option that an override sets, or chooses a member for."""
    return one.package or one.key_or_group.replace("/", ".")
