"""Converting a composed node to frozen objects, and collecting every mistake in it."""

import copy
import dataclasses
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

from omegaconf import DictConfig, ListConfig, OmegaConf, ValueNode
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException, ValidationError

from runwright.compose._omegaconf import (
    child,
    is_empty,
    is_interpolation,
    is_missing,
    raw_value,
    without_key,
)
from runwright.compose.chosen_names import choices_in, chosen_names, note_name
from runwright.compose.explain import Members, in_defaults, ways_to_choose
from runwright.compose.hydra_values import hydra_of
from runwright.compose.nested_values import misplaced
from runwright.compose.schema import SCHEMA_NAME
from runwright.compose.typed_nodes import (
    containers_in,
    is_interface,
    option_types,
    own_keys,
    type_of,
    unknown_keys,
)
from runwright.compose.unknown_options import unknown_key
from runwright.compose.wrong_references import explain_reference, refers_to_number
from runwright.errors import NotGiven, UserError
from runwright.factory import (
    OptionError,
    Settings,
    broken_rules,
    described,
    full_key,
    group_of,
    with_own_keys,
)
from runwright.plain import home_path

NO_SCHEMA: Final = (
    f"The primary configuration has no schema. Start its defaults list with `- {SCHEMA_NAME}`."
)
NO_FACTORY: Final = "the chosen file does not say which"
_ABSTRACT: Final = (
    f"{{key}}: {NO_FACTORY} {{cls}} it changes. "
    "Start it with a defaults list that names one, `defaults: [NAME]`."
)


class Conversion:
    """Makes frozen objects from a composed node, and collects what is wrong with it.

    Attributes:
        problems: one text per mistake.
        deferred: keys whose values only a running job knows, `${hydra:…}`.
        parts: the valid top-level options by name, even if others are not valid.
    """

    def __init__(
        self,
        in_defaults: Collection[str] | None = None,
        members: Members | None = None,
        choices: Mapping[str, Any] | None = None,
    ) -> None:
        """Start a conversion.

        Args:
            in_defaults: the groups in the defaults list, e.g. `model`, whose choices need no "+".
            members: lists the members of a group, YAML files included; by default the factories.
            choices: by which names members were chosen; see `chosen_names`.
        """
        self.problems: list[str] = []
        self.deferred: list[str] = []
        self.parts: dict[str, Any] = {}
        self._in_defaults = in_defaults
        self._members = members
        self._names = chosen_names(choices or {})

    def settings(self, node: DictConfig, key: str = "") -> Settings | None:
        """The frozen object of a typed node, or None if something is wrong or deferred."""
        cls = type_of(node)
        if is_interface(cls):
            self.problems.append(_ABSTRACT.format(key=key, cls=cls.__name__))
            return None
        before = self._count()
        self.problems += [unknown_key(unknown, node) for unknown in unknown_keys(node, key)]
        cls = with_own_keys(cls, own_keys(node))
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for field in dataclasses.fields(cls):
            count = self._count()
            try:
                value = _from_home(self._option(node, field.name, key))
            except MissingMandatoryValue:
                self.problems.append(self._missing(full_key(key, field.name), field, cls))
            except OmegaConfBaseException as error:
                self._note(node, field.name, key, error)
            except UserError as error:
                self.problems.append(f"{full_key(key, field.name)}: {error}")
            else:
                values[field.name] = value
                self.problems += _wrong_in(value, field, cls, full_key(key, field.name))
            if self._count() > count:
                values.pop(field.name, None)
                wrong.append(field.name)
        if not key:
            self.parts = values
        if self._count() > before:
            broken = OptionError(cls.__name__, [*broken_rules(_incomplete(cls, values), wrong)])
        else:
            try:
                made = cast("Settings", cls(**values))
            except OptionError as error:
                broken = error
            else:
                note_name(made, self._names.get(key))
                return made
        self.problems.extend(broken.texts(key))
        return None

    def _count(self) -> int:
        """How many problems and deferred keys have been found."""
        return len(self.problems) + len(self.deferred)

    def _missing(self, key: str, field: "dataclasses.Field[Any]", cls: type[Any]) -> str:
        group = group_of(option_types(cls)[field.name])
        if group is None:
            return NotGiven(f"{key} must be given: {described(field).doc}.")
        ways = ways_to_choose(key, group, self._in_defaults, self._members)
        return NotGiven(f"{key} must be chosen ({described(field).doc}): {ways}.")

    def _option(self, node: DictConfig, name: str, key: str) -> Any:
        value = child(node, name)
        if value is None:  # deleted with ~name
            raise MissingMandatoryValue
        if isinstance(value, ValueNode) and not is_interpolation(value):
            if is_missing(value):
                raise MissingMandatoryValue
            return raw_value(value)  # a plain value needs no resolving
        if isinstance(value, DictConfig | ListConfig) and not (
            is_interpolation(value) or is_empty(value)
        ):
            return self._value(value, full_key(key, name))
        found = self._value(node[name], full_key(key, name))
        if isinstance(found, bool) and refers_to_number(full_key(key, name), node):
            raise ValidationError("a number is neither true nor false")
        return found

    def _note(self, node: DictConfig, name: str, key: str, error: Exception) -> None:
        below = child(node, name)
        assert below is not None
        if "${hydra:" in str(raw_value(below)):
            self.deferred.append(full_key(key, name))
        else:
            self.problems.append(explain_reference(full_key(key, name), error, node))

    def _value(self, value: Any, key: str) -> Any:
        if isinstance(value, DictConfig) and dataclasses.is_dataclass(OmegaConf.get_type(value)):
            return self.settings(value, key)
        if isinstance(value, ListConfig):
            return [self._value(value[i], full_key(key, str(i))) for i in range(len(value))]
        if isinstance(value, DictConfig) and any(containers_in(value)):
            return {name: self._value(value[name], full_key(key, str(name))) for name in value}
        return OmegaConf.to_object(value) if OmegaConf.is_config(value) else value


def _wrong_in(
    value: Any, field: "dataclasses.Field[Any]", cls: type[Any], key: str
) -> Iterator[str]:
    if text := described(field).problem(value):
        yield f"{key} {text}"
    if isinstance(value, list | dict):
        yield from misplaced(value, option_types(cls)[field.name], key)


def _incomplete(cls: type[Any], values: dict[str, Any]) -> Settings:
    """Settings with some options missing: to inspect, never to build from."""
    options = object.__new__(cls)
    vars(options).update(values)
    return options


def _from_home(value: Any) -> Any:
    """The value with `~` in paths expanded, as the shell does not do that in YAML files."""
    if isinstance(value, list):
        return [_from_home(member) for member in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {k: _from_home(member) for k, member in cast("dict[Any, Any]", value).items()}
    return home_path(value) if isinstance(value, Path) else value


def convert(
    composed: DictConfig, members: Members | None = None
) -> tuple[Settings | None, Conversion]:
    """The frozen configuration of a composed node, and what is wrong with the node.

    The former is also None if there are values that only the job can know.

    Args:
        composed: the node.
        members: lists the members of a group, YAML files included; by default the factories.
    """
    conversion = Conversion(in_defaults(composed), members, choices_in(composed))
    if OmegaConf.get_type(composed) in (dict, None):
        conversion.problems.append(NO_SCHEMA)
        return None, conversion
    with hydra_of(composed) as hydra, without_key(composed, "hydra"):
        config = conversion.settings(composed)
        conversion.deferred += hydra.unknown(composed)
    return (None if conversion.deferred else config), conversion


def without_hydra(composed: DictConfig) -> DictConfig:
    """The application's part of a composed node."""
    with without_key(composed, "hydra"):
        ours = copy.copy(composed)
    OmegaConf.set_struct(ours, False)
    return ours
