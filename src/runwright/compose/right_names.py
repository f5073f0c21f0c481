"""The option that an unknown name was most likely meant to be, wherever it is."""

import dataclasses
import re
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, cast

from omegaconf import DictConfig, OmegaConf

from runwright.compose.plugin_parts import plugins_with
from runwright.compose.typed_nodes import (
    all_options,
    option_names,
    type_of,
    typed_nodes,
    typed_steps,
)
from runwright.errors import nearest
from runwright.factory import (
    CONFIG_GROUPS,
    choice,
    described,
    full_key,
    group_of,
    type_argument,
)

# What other libraries call what is here called otherwise. Of the words of a name, the first ones
# in this table are replaced first.
_OUR_WORDS: Final = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "bs": "batch_size",
    **dict.fromkeys(("dataset", "datamodule", "data_module", "data"), "dm"),
    **dict.fromkeys(("net", "network", "arch", "architecture", "backbone"), "model"),
    **dict.fromkeys(("loss", "criterion"), "objective"),
    **dict.fromkeys(("optim", "optimiser"), "optimizer"),
    **dict.fromkeys(("device", "cuda"), "gpu"),
    **dict.fromkeys(("iters", "iterations"), "steps"),
    **dict.fromkeys(("interval", "freq"), "every"),
    **dict.fromkeys(("dir", "path", "folder"), "root"),
    "scheduler": "schedule",
    "ckpt": "checkpoint",
    "gradient": "grad",
    "rate": "prob",
}
_FILL: Final = frozenset({"n", "num", "number", "max", "total", "of", "the"})
_LEAST_SHARED: Final = 0.5  # of the words of both names
_SLIP: Final = 0.8  # as similar as names are that differ by a slip of the finger
_LONGEST: Final = 60


def right_names(key: str, cls: type[Any], composed: DictConfig) -> list[str]:
    """What may have been meant by a full key whose last name is not an option of a class.

    Returns:
        Each as it is written, in quotes, with what else is to be known; empty where nothing is
        like it.
    """
    return next((found for found in _guesses(key, cls, composed) if found), list[str]())


def _guesses(key: str, cls: type[Any], composed: DictConfig) -> Iterator[list[str]]:
    """What may have been meant, the most certain first."""
    above, _, name = key.rpartition(".")
    words = _words(name)
    own = [full_key(above, known) for known in option_names(cls)]
    names = [_last(one) for one in own] + ["experiment"] * (not above)
    everywhere = [] if key.startswith("hydra.") else all_options(composed)
    named = [one for one in everywhere if _last(one) == name]
    near = [one for one in named if _is_near(one, key)]
    yield [f"'{_typed(one, composed)}'" for one in near]
    if above:  # what is deep in another branch comes after what is like it here
        yield from _like(words, own, composed)
        yield [_described(one, composed) for one in _sharing_most(words, own)]
        if closest := nearest(name, names, cutoff=_SLIP):
            yield [f"'{full_key(above, closest)}'"]
        docs = {one: _words_of_doc(one, composed) for one in own}
        yield [_described(one, composed) for one in _most(words, docs)]
    yield [f"'{_typed(one, composed)}'" for one in named]
    everywhere = [one for one in everywhere if not above or _is_near(one, key)]
    yield from _like(words, own, composed)
    yield from _like(words, everywhere, composed)
    if not above:
        yield [*_of_hydra(name, composed)]
    if closest := nearest(name, names, cutoff=_SLIP):
        yield [f"'{full_key(above, closest)}'"]
    if closest := nearest(_in_our_words(name), map(_last, everywhere), cutoff=_SLIP):
        yield [f"'{one}'" for one in everywhere if _last(one) == closest]
    if everywhere:
        yield [*_of_other_members(name, composed)]
    for keys in (own, everywhere):
        yield [_described(one, composed) for one in _sharing_most(words, keys)]
    if everywhere:
        yield [*_keys_of_dictionaries(name, composed)]
    if closest := nearest(name, names):
        yield [f"'{full_key(above, closest)}'"]


def _is_near(option: str, key: str) -> bool:
    """Whether an option is in the same branch as a key, or not deep in another."""
    return option.count(".") < 2 or _branch(option) == _branch(key)


def _like(words: frozenset[str], keys: Iterable[str], composed: DictConfig) -> Iterator[list[str]]:
    same = [one for one in keys if words in (_words(_last(one)), _words(one))]
    yield [_described(one, composed) for one in same]


def typed_names(names: Collection[str]) -> str:
    """The question whether one of these was meant; empty where there are none."""
    return f"Did you mean {' or '.join(names)}?" if names else ""


def _words(name: str) -> frozenset[str]:
    """The words of a name, as they are called here, without plurals and those that only fill."""
    words = _in_our_words(name).split("_")
    return frozenset(word.removesuffix("s") for word in words if word) - _FILL


def _in_our_words(name: str) -> str:
    text = "_" + re.sub(r"(?<=[a-z])(?=[A-Z])|\W", "_", name).casefold() + "_"
    for other, ours in _OUR_WORDS.items():
        text = text.replace(f"_{other}_", f"_{ours}_")
    return text.strip("_")


def _sharing_most(words: frozenset[str], keys: Iterable[str]) -> list[str]:
    """The keys whose names have all words and few others, or few words less."""
    return _most(words, {key: _words(_last(key)) for key in keys})


def _most(words: frozenset[str], known: Mapping[str, frozenset[str]]) -> list[str]:
    shares: dict[str, float] = {}
    for key, others in known.items():
        is_part = others > words or (others < words and len(others) > 1)
        shares[key] = len(others & words) / len(others | words) if is_part and words else 0
    most = max(shares.values(), default=0)
    return [key for key, share in shares.items() if share == most] if most >= _LEAST_SHARED else []


def _of_other_members(name: str, composed: DictConfig) -> Iterator[str]:
    """The options of this name that members of a group have in place of those that are chosen."""
    for node, key in typed_nodes(composed):
        cls = type_of(node)
        group: str = getattr(cls, "config_group", None) or ""
        found = [
            f"{choice(group, key)}={one}"
            for one, other in CONFIG_GROUPS.get(group, {}).items()
            if name in option_names(other) and type_argument(other) is type_argument(cls)
        ]
        if found:
            yield f"'{full_key(key, name)}' (with {' or '.join(found)})"


def _keys_of_dictionaries(name: str, composed: DictConfig) -> Iterator[str]:
    """The options that are dictionaries in which this name may be a key."""
    for node, key in typed_nodes(composed):
        cls = type_of(node)
        for field in dataclasses.fields(cls):
            keys = described(field).keys if hasattr(cls, "config_group") else None
            if keys is None:
                continue
            options = cast("dict[str, Any]", OmegaConf.to_container(node, resolve=False))
            needed = keys(options).get(name)
            if needed is not None:
                with_it = f" (with {full_key(key, needed)})" if needed else ""
                yield f"'{full_key(full_key(key, field.name), name)}'{with_it}"


def _of_hydra(name: str, composed: DictConfig) -> Iterator[str]:
    """Hydra's options of this name: `run` in `run.dir=…`, or `run_dir`."""
    hydra = composed.get("hydra")
    if not isinstance(hydra, DictConfig):
        return
    if name in ("launcher", "sweeper"):
        yield f"'hydra/{name}=…'"
        return
    for node, key in typed_nodes(hydra, "hydra"):
        for known in option_names(type_of(node)):
            if name in (known, f"{_last(key)}_{known}"):
                yield f"'{full_key(key, known)}'"
                return
    for plugin in plugins_with("hydra/sweeper", name)[-1:] + plugins_with("hydra/launcher", name):
        yield f"'{plugin.partition('=')[0].replace('/', '.')}.{name}' (with --multirun {plugin})"


def _described(key: str, composed: DictConfig) -> str:
    """A key that is not spelled like the name: with what it is."""
    doc = _doc(key, composed)
    doc = doc if len(doc) <= _LONGEST else doc.partition(";")[0]
    return f"'{_typed(key, composed)}' ({doc})" if doc else f"'{key}'"


def _doc(key: str, composed: DictConfig) -> str:
    for path, node, name in typed_steps(key, composed):
        field = type_of(node).__dataclass_fields__.get(name)
        if path == key and field is not None and hasattr(type_of(node), "config_group"):
            return described(field).doc
    return ""


def _words_of_doc(key: str, composed: DictConfig) -> frozenset[str]:
    return _words(_doc(key, composed).partition(";")[0].replace(" ", "_"))


def _typed(key: str, composed: DictConfig) -> str:
    """How the option of this key is given a value: it, or what chooses a member of its group."""
    *_, (_, node, name) = typed_steps(key, composed)
    group = group_of(typing.get_type_hints(type_of(node))[name])
    return key if group is None else f"{choice(group, key)}=…"


def _branch(key: str) -> str:
    return key.partition(".")[0]


def _last(key: str) -> str:
    return key.rpartition(".")[2]
