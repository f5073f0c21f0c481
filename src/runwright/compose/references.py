"""Values that do nothing: they exist to be referred to, and nothing refers to them."""

import re
from collections.abc import Iterable, Iterator

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from runwright.compose._omegaconf import child, interpolations
from runwright.compose.typed_nodes import option_names, type_of, unknown_keys
from runwright.errors import nearest
from runwright.factory import name_of


def without_reference(overrides: Iterable[Override], composed: DictConfig) -> Iterator[str]:
    """A sentence for every value given to a key of an open group that no option refers to."""
    texts: list[str] = []
    for one in overrides:
        key = one.key_or_group
        group, dot, _ = key.partition(".")
        if not dot or one.is_delete() or not _is_open(composed, group):
            continue
        texts = texts or [text for _, _, text in interpolations(composed)]
        node = child(composed, group)
        if not isinstance(node, DictConfig) or key in unknown_keys(node, group):
            continue  # which is told as what it is
        if not any(_refers(text, key) for text in texts):
            yield (
                f"{key} has no effect: no option refers to it.{_meant(key, node)} Let one do so, "
                f"'OPTION=${{{key}}}', or set the option itself."
            )


def _meant(key: str, node: DictConfig) -> str:
    """A sentence with the key that one of one's own was most likely meant to be."""
    group, _, name = key.partition(".")
    if name in (known := option_names(type_of(node))):
        return ""
    closest = nearest(name, {*known, *map(str, node)} - {name}, cutoff=0.8)
    return f" Did you mean '{group}.{closest}'?" if closest else ""


def without_training(overrides: Iterable[Override], composed: DictConfig) -> Iterator[str]:
    """A sentence if stages are to follow a training and none is made."""
    stage = child(composed, "stage") if "stage" in composed else None
    kind = OmegaConf.get_type(stage) if isinstance(stage, DictConfig) else None
    if kind is None or getattr(kind, "trains", True):
        return
    for one in overrides:
        if one.key_or_group == "then" and one.value():
            yield (
                f"then has no effect with stage={name_of(kind)}: these stages follow a training. "
                "Run each of them by itself, stage=…."
            )


def _is_open(composed: DictConfig, group: str) -> bool:
    node = child(composed, group) if group in composed else None
    return isinstance(node, DictConfig) and bool(
        getattr(OmegaConf.get_type(node), "is_open", False)
    )


def _refers(text: str, key: str) -> bool:
    """Whether an interpolation reads a key, what it is in, or something in it."""
    parts = key.split(".")
    whole = "|".join(re.escape(".".join(parts[: count + 1])) for count in range(len(parts)))
    return bool(re.search(rf"\$\{{\.*({whole})\}}|\$\{{\.*{re.escape(key)}[.\[]", text))
