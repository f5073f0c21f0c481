"""Options that refer to a value that is not there, or that they do not take."""

import re
from typing import Any, Final

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runwright.compose._omegaconf import is_interpolation, raw_value, root_of
from runwright.compose.typed_nodes import all_options, node_at, type_of
from runwright.compose.wrong_values import (
    declaration_at,
    hint_at,
    is_number_for_flag,
    wrong_value,
)
from runwright.errors import nearest
from runwright.factory import full_key

_NOT_THERE: Final = re.compile(r"^Interpolation key '(?P<key>[\w.]+)' not found$")
_UNKNOWN: Final = object()


def explain_reference(key: str, error: Exception, node: DictConfig) -> str:
    """The text for a value that cannot be had: it refers to what is not there, or does not fit.

    Args:
        key: the full key of the option.
        error: OmegaConf's.
        node: what the option is in.
    """
    text = f"{key}: {str(error).splitlines()[0]}"
    named = _NOT_THERE.search(str(error).splitlines()[0])
    if named is None:
        return _of_another_type(key, root_of(node)) or text
    missing, root = named["key"], root_of(node)
    above = missing.rpartition(".")[0]
    beside = OmegaConf.select(root, above, throw_on_missing=False) if above else None
    own = [full_key(above, str(name)) for name in beside] if isinstance(beside, DictConfig) else []
    closest = nearest(missing, {*all_options(root), *own}, cutoff=0.8)
    hint = f" Did you mean '{closest}'?" if closest else ""
    if above and isinstance(beside, DictConfig) and type_of(beside).is_open:
        hint += f" Give it a value with +{missing}=…, or in a file conf/{above}/NAME.yaml."
    return f"{text}.{hint}"


def refers_to_number(key: str, node: DictConfig) -> bool:
    """Whether an option that is true or false refers to a number, of which OmegaConf makes true.

    Args:
        key: the full key of the option.
        node: what the option is in.
    """
    return is_number_for_flag(_referred(key, root_of(node)), hint_at(key, root_of(node)))


def _of_another_type(key: str, composed: DictConfig) -> str | None:
    """The text for an option that refers to a value of another type; None if that is unknown."""
    hint, declared = declaration_at(key, composed)
    referring, value = node_at(key, composed), _referred(key, composed)
    if hint is None or referring is None or value is _UNKNOWN:
        return None
    source = f" from {raw_value(referring)}" if is_interpolation(referring) else ""
    return wrong_value(key, value, hint, declared, source=source)


def _referred(key: str, composed: DictConfig) -> Any:
    """The plain value of an option, whether it fits or not."""
    untyped = DictConfig(OmegaConf.to_container(composed, resolve=False))
    try:
        value = OmegaConf.select(untyped, key)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return _UNKNOWN
