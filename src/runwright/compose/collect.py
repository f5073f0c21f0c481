"""Everything that is wrong with a configuration, each mistake with its place and its fix.

Hydra stops at the first mistake. If there is one, `Mistakes` composes again, one piece at a time,
leaves out what does not fit, and continues.
"""

import contextlib
import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import ConfigCompositionException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from runwright.compose import files, schema
from runwright.compose._hydra import Composer, Repository, flag_names
from runwright.compose._omegaconf import drop_defaults_list, without_key
from runwright.compose.convert import NO_FACTORY, Conversion
from runwright.compose.explain import (
    NOT_GLOBAL,
    USER_MISTAKES,
    Members,
    explain_deletion,
    explain_key,
    explain_override,
    in_defaults,
    text_of,
    unknown_key,
    unknown_part,
)
from runwright.compose.file_shapes import wrong_shape
from runwright.compose.hydra_options import wrong_in_hydra
from runwright.compose.members import groups, members, nearest_member
from runwright.compose.nested_values import wrong_within
from runwright.compose.overrides import parse_override, several_values
from runwright.compose.typed_nodes import (
    declared,
    is_required,
    option_names,
    owners_of_usual,
    places_of,
    root_class,
    typed_nodes,
    unknown_keys,
)
from runwright.compose.values import give
from runwright.domains import NOT_LOADED
from runwright.errors import UserError, did_you_mean, nearest
from runwright.factory import Settings, choice

_NO_SCHEMA: Final = (
    "The primary configuration has no schema. Start its defaults list with "
    f"`- {schema.SCHEMA_NAME}`."
)

_UNUSED: Final = re.compile(
    r"In '(?P<file>.+)': Invalid Defaults List override '(?P<entry>.+)'\.\n"
    r"No earlier Group Default for '(?P<key>.+)' exists to override\."
)


class Mistakes:
    """Composes again, one piece at a time, to find everything that is wrong.

    Attributes:
        problems: one text per mistake.
        parts: the options that are right by themselves, by name; empty for a multirun.
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
        try:
            wrong = self._wrong_choices(parsed)
        except USER_MISTAKES as error:
            self.problems.extend(_wrong_suffixes(self._repository) or [text_of(error)])
            return
        usable = [one for one in parsed if not _is_below(_option(one), wrong)]
        try:
            defaults = self._defaults_list(config_name, usable)
        except USER_MISTAKES as error:
            if isinstance(error, UnicodeDecodeError):
                self.problems.extend(_not_in_utf8(self._repository))
                return
            # The data look for the group that the schema brings.
            no_schema = "override '/objective@_global_.objective" in str(error)
            self.problems.append(_NO_SCHEMA if no_schema else self._explain_missing(error))
            return
        composed = self._merge(defaults.defaults, wrong)
        choices = dict(defaults.overrides.known_choices)
        OmegaConf.update(composed, "hydra.runtime.choices", choices, force_add=True)
        self.problems += files.check(composed, composer, self._repository, config_name, usable)
        OmegaConf.set_struct(composed, True)
        refused: set[str | None] = set()
        for one in defaults.config_overrides:
            unknown = unknown_part(one.key_or_group, composed)
            if unknown in refused:  # it is one mistake, however often it was typed
                continue
            refused |= {unknown} - {None}
            if one.is_delete() and (text := explain_deletion(one, composed)):
                self.problems.append(text)
                continue
            attempt = copy.deepcopy(composed)
            try:
                give(one, attempt, composer)
                composed = attempt
            except (*USER_MISTAKES, AttributeError, TypeError) as error:
                within = wrong_within(one.key_or_group, one.value(), composed)
                said = explain_override(one, error, composed, self._members)
                self.problems += within or [said]
        _, conversion = check(composed, config_name, run_mode, composer.loader, self._members)
        found = conversion.problems
        self.parts = conversion.parts
        if "dm" in wrong or any(text.startswith("dm must be chosen") for text in found):
            wrong.add("objective")  # it would follow from the data
        answered = [f"{key} must be chosen" for key in wrong]
        # A file in the place of a factory needs another name first.
        in_place = files.in_place_of_factories(composed, self._repository)
        answered += [f"{key}: {NO_FACTORY}" for key in in_place]
        self.problems.extend(text for text in found if not text.startswith(tuple(answered)))

    def _parse(
        self, overrides: Sequence[str], run_mode: RunMode, *, from_shell: bool
    ) -> list[Override]:
        parsed: list[Override] = []
        for before, text in zip([None, *overrides], overrides, strict=False):
            try:
                one = parse_override(text, before=before)
                has_commas = one.value_type is ValueType.SIMPLE_CHOICE_SWEEP
                if one.is_sweep_override() and run_mode is RunMode.RUN:
                    is_choice = not has_commas or self._repository.has_group(one.key_or_group)
                    self.problems.append(
                        several_values(
                            text,
                            is_choice=is_choice,
                            from_shell=from_shell,
                            hint=declared(one.key_or_group),
                        )
                    )
                    continue
                self._composer.check_sweeps([one], run_mode)
            except (*USER_MISTAKES, UserError) as error:
                self.problems.append(text_of(error) + _nearest_word(text))
            else:
                parsed.append(one)
        return parsed

    def _wrong_choices(self, overrides: Sequence[Override]) -> set[str]:
        """The options for which a nonexistent member of their group was named."""
        wrong: set[str] = set()
        for one in overrides:
            group = one.key_or_group
            if "/" in group and not self._repository.has_group(group):
                wrong.add(_option(one))
                hint = did_you_mean(group, groups(self._repository))
                self.problems.append(f"{one.input_line}: there is no group '{group}'. {hint}")
                continue
            if one.is_sweep_override() or not self._repository.has_group(group):
                continue
            if one.is_delete():
                if is_required(group, _option(one)):
                    wrong.add(_option(one))
                    choices = "|".join(self._members(group))
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
                wrong.add(_option(one))
                shown = "null" if name is None else str(name)
                hint = " ".join([did_you_mean(shown, self._members(group)), *NOT_LOADED.values()])
                key = one.get_key_element().lstrip("+")
                if name is None and is_required(group, _option(one)):
                    self.problems.append(f"{key}=null: one must be chosen. {hint}")
                    continue
                if name is None:
                    hint += f" To choose none: ~{key}"
                self.problems.append(f"{key}={shown}: there is no such {group}. {hint}")
        return wrong

    def _members(self, group: str) -> list[str]:
        """Everything that can be chosen in a group, including YAML files."""
        return members(self._repository, group)

    def _defaults_list(self, config_name: str | None, overrides: list[Override]) -> Any:
        """What the defaults lists and the overrides choose.

        Where a choice lacks its "+", or has one too many, that is noted, and it is applied
        anyway.
        """
        try:
            # What was not chosen is found later, together with everything else.
            return self._composer.defaults(self._repository, config_name, overrides)
        except ConfigCompositionException as error:
            text = text_of(error)
            for index, one in enumerate(overrides):
                key, typed = one.get_key_element().lstrip("+"), str(one.input_line)
                if text.startswith(f"Could not override '{key}'. No match in the defaults list."):
                    meant, text = _with_place(one, text)
                elif one.is_add() and text.startswith(f"Multiple values for {key}."):
                    meant = typed.lstrip("+")
                    text = f"{typed}: {key} is already chosen. To choose another: {meant}"
                else:
                    continue
                self.problems.append(text)
                again = [parse_override(meant)] if meant else []
                rest = [*overrides[:index], *again, *overrides[index + 1 :]]
                return self._defaults_list(config_name, rest)
            raise

    def _explain_missing(self, error: BaseException) -> str:
        """The text for a defaults list that cannot be resolved, with the nearest right name."""
        missing = error.missing_cfg_file if isinstance(error, MissingConfigException) else None
        if missing is None:
            unused = _UNUSED.fullmatch(str(error))
            return self._explain_unused(unused) if unused else text_of(error)
        first = str(error).splitlines()[0]
        hint = nearest_member(self._repository, missing)
        return " ".join([first, hint, *NOT_LOADED.values()])

    def _explain_unused(self, unused: re.Match[str]) -> str:
        """The text for an entry `override …` of a defaults list that overrides nothing."""
        entry, (group, _, package) = unused["entry"], unused["key"].partition("@")
        text = f"In {unused['file']}.yaml: `override {entry}`: "
        folder = unused["file"].rpartition("/")[0].replace("/", ".")
        if package.startswith(f"{folder}.") and folder not in option_names(root_class()):
            return f"{text}{NOT_GLOBAL}"
        if self._repository.has_group(group):
            return f"{text}no '{group}' was chosen before it. To choose one, leave out `override`."
        top = entry.partition(":")[0].partition("@")[0]
        if self._repository.has_group(top):  # Hydra looked for it next to the file
            return f"{text}there is no group '{group}'. Did you mean `override /{entry}`?"
        hint = did_you_mean(group, groups(self._repository))
        return f"{text}there is no group '{group}'. {hint}"

    def _merge(self, defaults: Sequence[ResultDefault], wrong: set[str]) -> DictConfig:
        """Compose what the files hold, leaving out what does not fit and noting it.

        Args:
            defaults: the files.
            wrong: the options of which more need not be said; those of a file that is left out
                are added.
        """
        composed = OmegaConf.create()
        for default in defaults:
            file = f"{default.config_path}.yaml"
            if text := wrong_shape(self._repository, str(default.config_path)):
                self.problems.append(text)
                wrong.add(default.package or "")
                continue
            try:
                loaded = self._composer.load(default, self._repository)
            except USER_MISTAKES as error:
                self.problems.append(f"In {file}: {text_of(error)}")
                continue
            try:
                composed.merge_with(loaded.config)
            except OmegaConfBaseException:
                self._merge_leaves(composed, loaded.config, default)
            for node, key in list(typed_nodes(composed)):
                drop_defaults_list(node)
                with open_dict(node):
                    for unknown in unknown_keys(node, key):
                        self._note_in_file(default, unknown_key(unknown, node))
                        node.pop(unknown.rpartition(".")[2])
        return composed

    def _note_in_file(self, file: ResultDefault, text: str) -> None:
        path = file.config_path
        if text == NOT_GLOBAL and not f"{path}".startswith("experiment/"):
            path = file.parent  # which chose this one
        if (noted := f"In {path}.yaml: {text}") not in self.problems:
            self.problems.append(noted)

    def _merge_leaves(self, composed: DictConfig, loaded: Any, file: ResultDefault) -> None:
        """Merge a file option by option, to find all options that do not fit."""
        for names, value in _leaves(OmegaConf.to_container(loaded, resolve=False)):
            key = ".".join(map(str, names))
            nested: dict[Any, Any] = value
            for name in reversed(names):
                nested = {name: nested}
            try:
                composed.merge_with(OmegaConf.create(nested))
            except OmegaConfBaseException as error:
                within = wrong_within(key, value, composed)
                for text in within or [explain_key(key, value, error, composed)]:
                    if text is not None:
                        self._note_in_file(file, text)


def check(
    composed: DictConfig,
    config_name: str | None,
    run_mode: RunMode,
    loader: ConfigLoader,
    members: Members | None = None,
) -> tuple[Settings | None, Conversion]:
    """What is wrong with what was composed of the files, values and all.

    Returns:
        The frozen configuration, and what is wrong; there is none of a multirun, whose jobs have
        one each, or without a primary configuration.
    """
    config, conversion = None, Conversion()
    if run_mode is not RunMode.MULTIRUN and config_name is not None:
        config, conversion = convert(composed, members)
    conversion.problems[:0] = wrong_in_hydra(composed, run_mode, loader)
    return config, conversion


def convert(
    composed: DictConfig, members: Members | None = None
) -> tuple[Settings | None, Conversion]:
    """The frozen configuration of a composed node, and what is wrong with the node.

    It is also None while there are values that only the job can know.

    Args:
        composed: the node.
        members: the members of a group, including YAML files; by default the factories.
    """
    conversion = Conversion(in_defaults(composed), members)
    if OmegaConf.get_type(composed) in (dict, None):
        conversion.problems.append(_NO_SCHEMA)
        return None, conversion
    with without_key(composed, "hydra"):
        return conversion.settings(composed), conversion


def without_hydra(composed: DictConfig) -> DictConfig:
    """The application's part of a composed node."""
    with without_key(composed, "hydra"):
        ours = copy.copy(composed)
    OmegaConf.set_struct(ours, False)
    return ours


def _leaves(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value with the keys that lead to it, each as it is: a number is no text."""
    if not (isinstance(node, dict) and node):
        yield above, node
        return
    for name, below in cast("dict[Any, Any]", node).items():
        yield from _leaves(below, (*above, name))


def _repository(composer: Composer, config_name: str | None, overrides: list[str]) -> Repository:
    """Where the configurations are, including those that `hydra.searchpath` adds."""
    parsed: list[Override] = []
    for text in overrides:
        with contextlib.suppress(*USER_MISTAKES):
            parsed += composer.parse(None, [text])
    try:
        return composer.repository(config_name, parsed)
    except USER_MISTAKES:  # in the primary configuration; reported when it is read
        return composer.repository(None, [])


def _with_place(one: Override, text: str) -> tuple[str, str]:
    """What was meant by the choice of a member that no defaults list names, and what to say.

    Nothing that can be taken was meant where what takes such a member was not chosen.
    """
    typed = str(one.input_line)
    group = one.key_or_group
    if usual := list(owners_of_usual(group)):
        who = " or ".join(dict.fromkeys(f"{owners}={name}" for owners, name, _ in usual))
        return "", f"{typed}: nothing that is chosen takes a member of '{group}'; {who} does."
    places = places_of(group, root_class())
    if one.package is not None or group in places or not places:
        return f"+{typed}", text
    value = typed.partition("=")[2]
    ways = [f"+{choice(group, place)}={value}" for place in places]
    return ways[0], f"{typed}: nothing chooses '{group}' by default. Write {' or '.join(ways)}."


def _nearest_word(word: str) -> str:
    """A sentence with what a single word was most likely meant to be: an option, or a flag."""
    if not word.isidentifier():
        return ""
    meant = {name: f"{name}=…" for name in option_names(root_class())}
    meant |= {name: f"--{name}" for name in flag_names()}
    closest = nearest(word, meant)
    return f" Did you mean '{meant[closest]}'?" if closest else ""


def _option(one: Override) -> str:
    """The option that an override gives a value to, or a member of its group."""
    return one.package or one.key_or_group.replace("/", ".")


def _is_below(key: str, options: Iterable[str]) -> bool:
    return any(f"{key}.".startswith(f"{option}.") for option in options)


def _wrong_suffixes(repository: Repository) -> list[str]:
    """A text for every file on the search path that Hydra ignores because of its suffix."""
    return [
        f"{file}: only files with the suffix .yaml are read. Rename it to {file.stem}.yaml."
        for file in _files(repository, "*.yml")
    ]


def _not_in_utf8(repository: Repository) -> list[str]:
    """A text for every YAML file on the search path in another encoding."""
    texts: list[str] = []
    for file in _files(repository, "*.yaml"):
        content = file.read_bytes()
        try:
            content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            texts.append(f"{file}, line {line}: the file is not in UTF-8. Save it as UTF-8.")
    return texts


def _files(repository: Repository, pattern: str) -> Iterator[Path]:
    """The files that match a pattern in the folders of the search path."""
    for source in repository.sources:
        if source.scheme() == "file":
            found = Path(source.path).rglob(pattern)
            yield from sorted(path for path in found if path.is_file())
