"""All of OmegaConf's private parts that are used; a test checks their signatures.

The public ways to read a node resolve interpolations, raise for what is missing, or copy. A
composed node has to be read as it is.
"""

# pyright: reportPrivateUsage=false
# pyright: reportUnusedImport=false
# ruff: noqa: F401  # some are imported from here unchanged

import contextlib
from collections.abc import Generator, Iterator
from typing import Any, Final

import yaml
from omegaconf import DictConfig, ListConfig, Node, OmegaConf, open_dict
from omegaconf._utils import get_omega_conf_dumper, split_key
from omegaconf._yaml import get_yaml_loader

Container = DictConfig | ListConfig
_NO_COPIES: Final = "no_deepcopy_set_nodes"


def child(node: Container, key: Any) -> Node | None:
    """The child at a key of a node, unresolved; None if there is none."""
    found = node._get_node(key, validate_access=False) if isinstance(node, DictConfig) else None
    if isinstance(node, ListConfig):
        found = node._get_node(key)
    return found if isinstance(found, Node) else None


def is_missing(node: Node) -> bool:
    """Whether a node is `???`."""
    return node._is_missing()


def is_none(node: Node) -> bool:
    """Whether a node is null."""
    return node._is_none()


def is_empty(node: Node) -> bool:
    """Whether there is nothing below a container: it is null or `???`."""
    return node._is_none() or node._is_missing()


def is_interpolation(node: Node) -> bool:
    """Whether a node stands for another value."""
    return node._is_interpolation()


def raw_value(node: Node) -> Any:
    """The value of a node, unresolved: for an interpolation, its text."""
    return node._value()


def interpolations(node: Container) -> Iterator[tuple[Container, Any, str]]:
    """Every value below a node that stands for another: what it is in, its key there, its text."""
    content: Any = vars(node)["_content"]
    for key, below in content.items() if isinstance(node, DictConfig) else enumerate(content):
        text = raw_value(below)
        if isinstance(text, str) and "${" in text and is_interpolation(below):
            yield node, key, text
        elif isinstance(below, Container) and not is_empty(below):
            yield from interpolations(below)


def root_of(node: DictConfig) -> DictConfig:
    """The root of a node's tree."""
    root = node._get_root()
    assert isinstance(root, DictConfig)
    return root


def declared_types(node: Node) -> tuple[Any, Any]:
    """The type that was declared for a node, and that of its content."""
    return node._metadata.ref_type, node._metadata.object_type


def structured(cls: type[Any]) -> DictConfig:
    """The node of a class, whose parts are not copied when they are put into one another.

    The copies that `OmegaConf.structured` makes take a third of its time.
    """
    flags = {_NO_COPIES: True}
    node = OmegaConf.structured(cls, parent=OmegaConf.create({}, flags=flags), flags=flags)
    node._set_parent(None)
    node._set_flag(_NO_COPIES, None)
    return node


def yaml_loader(text: str) -> yaml.SafeLoader:
    """A loader that reads YAML as OmegaConf does: 1e-3 is a number, and a date is text."""
    return get_yaml_loader()(text)


def dump_yaml(plain: Any) -> str:
    """Plain values as OmegaConf writes them, without the nodes that `OmegaConf.to_yaml` takes."""
    dumper = get_omega_conf_dumper()
    return yaml.dump(
        plain, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=dumper
    )


@contextlib.contextmanager
def without_key(node: DictConfig, key: str) -> Generator[None]:
    """Within this block, the node lacks a key; a copy would take a fifth of composing's time."""
    attributes = vars(node)
    content = attributes["_content"]
    attributes["_content"] = {name: content[name] for name in content if name != key}
    try:
        yield
    finally:
        attributes["_content"] = content


def drop_defaults_list(node: DictConfig) -> None:
    """Remove the defaults list that a schema brought with it, as Hydra does after merging."""
    flag = "HYDRA_REMOVE_TOP_LEVEL_DEFAULTS"
    if node._get_flag(flag):
        node._set_flag(flag, None)
        with open_dict(node):
            node.pop("defaults", None)
