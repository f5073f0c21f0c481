"""The schema: what Hydra and OmegaConf see of the factories. `convert.py` is the way back."""

import dataclasses
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from runwright.compose._omegaconf import child, declared_types, is_empty, structured
from runwright.compose.lazy_entry import LazyEntry, store_entry
from runwright.factory import CONFIG_GROUPS, Option, Settings, described, usual_members

SCHEMA_NAME: Final = "config_schema"
_RECORD: Final = "config_of_run"

HYDRA_SETTINGS: Final[dict[str, Any]] = {
    # Two runs that start in the same second must not share a directory.
    "run": {"dir": "${machine.output_dir}/outputs/${now:%Y-%m-%d}/${now:%H-%M-%S-%f}"},
    "sweep": {
        "dir": "${machine.output_dir}/multirun/${now:%Y-%m-%d}/${now:%H-%M-%S-%f}",
        "subdir": "${hydra.job.num}",
    },
    # The run itself decides where its messages go.
    "job_logging": {
        "version": 1,
        "root": {"level": "WARNING", "handlers": []},
        "disable_existing_loggers": False,
    },
    # The run directory's own config.yaml, command.txt and environment.json say everything.
    "output_subdir": None,
}


def schema_node(cls: type[Settings], defaults: Sequence[Any] = ()) -> DictConfig:
    """The node that Hydra composes into, typed like `cls`, with the members that are usual.

    Args:
        cls: the class.
        defaults: what else its defaults list chooses.
    """
    node = structured(cls)
    _open_dictionaries(node)
    for field in dataclasses.fields(cast("Any", cls)):
        if (value := following(described(field), field.default)) is not None:
            OmegaConf.update(node, field.name, value)
    usual: list[Any] = []
    for key, group, name in usual_members(cls):
        if not is_open(declared_types(OmegaConf.select(node, key))):
            OmegaConf.update(node, key, MISSING)
        usual.append({f"/{group}@{key}": name})
    if usual or defaults:
        OmegaConf.set_struct(node, value=False)
        node["defaults"] = ["_self_", *usual, *defaults]
        OmegaConf.set_struct(node, value=None)
    return node


def following(option: Option, default: object) -> str | None:
    """The interpolation that is the value of an option that follows another; None if it does not.

    Args:
        option: the option.
        default: its value where what is chosen does not have the other.
    """
    return None if option.follows is None else f"${{oc.select:{option.follows},{default}}}"


def store(config: type[Settings]) -> None:
    """Register the schema of `config` and of every factory with Hydra's ConfigStore."""
    store_entry(SCHEMA_NAME, None, partial(_root, config))
    # For a program without a `conf/` folder: the same, with data and model still to be chosen.
    primary = {"defaults": [SCHEMA_NAME, {"dm": MISSING}, {"model": MISSING}, "_self_"]}
    store_entry("config", None, partial(OmegaConf.create, primary))
    for group, members in CONFIG_GROUPS.items():
        for name, cls in members.items():
            store_entry(name, group, partial(_member, cls))


def store_record(record: Path) -> str:
    """Register the `config.yaml` of a run as a primary configuration.

    Its folder is not put on the search path: what else is in it, `pictures` say, would be taken for
    groups.

    Returns:
        The name of the configuration.
    """
    make = partial(cast("Any", OmegaConf.load), record)
    store_entry(_RECORD, None, make).record = record
    return _RECORD


def recorded_at(name: str) -> Path | None:
    """The file of a primary configuration that is the record of a run; None of any other."""
    node = ConfigStore.instance().repo.get(f"{name}.yaml")
    return node.record if isinstance(node, LazyEntry) else None


def _root(config: type[Settings]) -> DictConfig:
    """The schema of the whole configuration, with the library's own settings of Hydra."""
    root = schema_node(config, [{"objective": None}, {"override /hydra/job_logging": "none"}])
    OmegaConf.set_struct(root, value=False)
    root["hydra"] = HYDRA_SETTINGS
    OmegaConf.set_struct(root, value=None)
    return root


def _member(cls: type[Settings]) -> DictConfig:
    """The schema of a factory. Data bring their objective, unless another is chosen."""
    objective: str | None = getattr(cls, "default_objective", None)
    if objective is None:
        return schema_node(cls)
    return schema_node(cls, [{"override /objective@_global_.objective": objective}])


def is_open(types: Iterable[Any]) -> bool:
    """Whether a node of these types may have keys of its own."""
    return any(getattr(cls, "is_open", False) for cls in types)


def _open_dictionaries(node: DictConfig | ListConfig) -> None:
    """Let dictionaries take any key: Hydra closes the whole, and what is open here stays open."""
    types = declared_types(node)
    if is_open(types) or not any(dataclasses.is_dataclass(cls) for cls in types):
        OmegaConf.set_struct(node, value=False)
    if is_empty(node):
        return
    keys = cast(
        "list[Any]", list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
    )
    for key in keys:
        below = child(node, key)
        if isinstance(below, DictConfig | ListConfig):
            _open_dictionaries(below)
