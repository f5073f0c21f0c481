"""The parameters of a model in groups for its optimiser: with weight decay or without, by depth.

A model may say both itself. `no_weight_decay` of a module, an attribute or a method, gives names
or patterns of its parameters without weight decay, relative to it (a name may be one that it does
not have now). `layer_of(name)` of the model gives the depth of a parameter, from 0 at the input.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from runwright.errors import ConfigError, UserError
from runwright.name_patterns import NamePattern, unmatched

if TYPE_CHECKING:
    from torch import nn

_NO_SCALES: Final[Mapping[str, float]] = MappingProxyType({})

_ONE_BLOCK: Final = (
    "opt.layer_decay={decay}: all parameters of the model are in one block, so they all "
    "have the same depth. Leave it at 1, or give the model a method layer_of(name) that returns "
    "the depth of a parameter, from 0 at the input."
)


def grouped(
    model: "nn.Module",
    *,
    lr: float,
    weight_decay: float,
    decay_bias_and_norm: bool = False,
    no_decay: Sequence[str] = (),
    layer_decay: float = 1.0,
    lr_scale: Mapping[str, float] = _NO_SCALES,
) -> list[dict[str, Any]]:
    """The trainable parameters in groups, as `torch.optim` takes them.

    Args:
        model: the model.
        lr: the learning rate of the deepest block.
        weight_decay: the weight decay, of matrices and larger; others have none.
        decay_bias_and_norm: whether 1-d parameters have it, too.
        no_decay: patterns on the names of further parameters without weight decay.
        layer_decay: by what the learning rate is multiplied from one block to the one before it.
        lr_scale: by what that of some parameters is multiplied, by a pattern on their names.

    Raises:
        ConfigError: a pattern names nothing.
        UserError: there is only one block for a layer-wise decay.
    """
    everywhere = dict(model.named_parameters(remove_duplicate=False))
    names = list(everywhere)
    if wrong := unmatched(no_decay, names, "parameter of the model"):
        raise ConfigError([f"opt.no_decay: {sentence}" for sentence in wrong])
    if wrong := unmatched(list(lr_scale), names, "parameter of the model"):
        raise ConfigError([f"opt.lr_scale: {sentence}" for sentence in wrong])
    scales = _scales(lr_scale, names)
    named = [*_matched(no_decay, names), *_named_by_model(model, names)]
    undecayed = {id(everywhere[name]) for name in named}  # a parameter may be in several places
    depth = _depths(model, layer_decay) if layer_decay != 1 else dict.fromkeys(names, 0)
    deepest = max(depth.values(), default=0)
    groups: dict[tuple[int, bool, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        has_none = id(parameter) in undecayed or not (parameter.ndim > 1 or decay_bias_and_norm)
        scale = scales.get(name, 1.0)
        key = depth[name], bool(weight_decay) and has_none, scale
        group: dict[str, Any] = {"params": [], "weight_decay": 0.0 if has_none else weight_decay}
        if layer_decay != 1 or scale != 1:
            group["lr"] = lr * layer_decay ** (deepest - depth[name]) * scale
        groups.setdefault(key, group)["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def _scales(lr_scale: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """What the learning rate of each parameter that is named is multiplied by.

    Raises:
        UserError: several patterns name the same one.
    """
    found: dict[str, float] = {}
    by: dict[str, str] = {}
    for pattern, scale in lr_scale.items():
        for name in _matched([pattern], names):
            if name in found and found[name] != scale:
                raise UserError(
                    f"opt.lr_scale: '{by[name]}' and '{pattern}' both name {name}, with "
                    f"{found[name]:g} and {scale:g}. Name it with one of them only."
                )
            found[name], by[name] = scale, pattern
    return found


def _matched(patterns: Iterable[str], names: Iterable[str]) -> Iterator[str]:
    able = [NamePattern(text) for text in patterns]
    return (name for name in names if any(pattern.matches(name) for pattern in able))


def _named_by_model(model: "nn.Module", names: Sequence[str]) -> Iterator[str]:
    """The parameters that modules say should have no weight decay."""
    modules = cast("Iterable[tuple[str, Any]]", cast("Any", model).named_modules())
    for place, module in modules:
        said: Any = getattr(module, "no_weight_decay", ())
        names_of = said() if callable(said) else said
        patterns = (
            [names_of] if isinstance(names_of, str) else list(cast("Iterable[str]", names_of))
        )
        if patterns:
            prefix = f"{place}." if place else ""
            own = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
            yield from (prefix + name for name in _matched(patterns, own))


def _depths(model: "nn.Module", decay: float) -> dict[str, int]:
    """The depth of every parameter, from 0 on.

    Blocks are the members of the outermost `nn.Sequential` and `nn.ModuleList`, and beside these
    the largest modules that hold none; they count in the order in which the model registers them.
    """
    names = [name for name, _ in model.named_parameters()]
    layer_of: Callable[[str], int] | None = getattr(model, "layer_of", None)
    if layer_of is None:
        blocks = _blocks(model)
        found = {name: blocks.index(_block_of(name, blocks)) for name in names}
        order = sorted(set(found.values()))  # those without parameters do not count
        depth = {name: order.index(place) for name, place in found.items()}
    else:
        depth = {name: layer_of(name) for name in names}
        for name, value in depth.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:  # pyright: ignore[reportUnnecessaryIsInstance]  # a model's own code
                raise UserError(
                    f"opt.layer_decay={decay}: {type(model).__name__}.layer_of('{name}') must "
                    f"return an integer ≥ 0, got {value!r}."
                )
    if len(set(depth.values())) < 2:  # blocks that differ
        raise UserError(_ONE_BLOCK.format(decay=decay))
    return depth


def _blocks(module: "nn.Module", place: str = "") -> list[str]:
    """The places of the blocks in a module, in order; its own parameters are the first."""
    from torch import nn

    is_list = isinstance(module, nn.Sequential | nn.ModuleList)
    blocks = [place]
    for name, child in module.named_children():
        below = f"{place}.{name}" if place else name
        holds_list = any(isinstance(m, nn.Sequential | nn.ModuleList) for m in child.modules())
        blocks += _blocks(child, below) if holds_list and not is_list else [below]
    return blocks


def _block_of(name: str, blocks: Sequence[str]) -> str:
    """The innermost of the blocks that a parameter lies in."""
    return max((one for one in blocks if not one or name.startswith(f"{one}.")), key=len)
