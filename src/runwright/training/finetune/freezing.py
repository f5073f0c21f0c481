"""Freezing parts of a model: parameters, and the statistics that belong to them."""

from collections.abc import Collection, Iterable, Sequence

from torch import nn

from runwright.errors import UserError
from runwright.finetune_options import FinetuneCfg
from runwright.name_patterns import NamePattern
from runwright.training.finetune.lora import is_adapter, named_modules


def freeze(model: nn.Module, cfg: FinetuneCfg) -> frozenset[str]:
    """Freeze parameters as the options say.

    Returns:
        The names of the modules that are frozen as a whole. They must stay in evaluation mode, so
        that the statistics of batch normalisation do not change.

    Raises:
        UserError: nothing is left to train.
    """
    if not (cfg.freeze or _has_adapters(cfg)):
        return frozenset()
    names: dict[int, list[str]] = {}  # a shared parameter has several
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, parameter in parameters.items():
        names.setdefault(id(parameter), []).append(name)
    for parameter in model.parameters():
        if _is_frozen(names[id(parameter)], cfg):
            parameter.requires_grad = False
            del names[id(parameter)]
    trained = [p for p in model.parameters() if id(p) in names]
    if not any(parameter.requires_grad for parameter in trained):
        raise UserError(
            "finetune.freeze leaves no parameter to train. Freeze less, or set "
            f"finetune.freeze_invert={str(not cfg.freeze_invert).lower()}."
        )
    left = [name for place in names.values() for name in place]
    if _has_adapters(cfg) and not any(map(is_adapter, left)):
        raise UserError(
            "finetune.freeze freezes the adapters of finetune.lora too, so none is trained. Freeze "
            "less; finetune.lora already freezes the rest of the model."
        )
    return frozenset(_frozen_modules(model, cfg, names.keys()))


def _has_adapters(cfg: FinetuneCfg) -> bool:
    return bool(cfg.lora.layers) and not cfg.lora.merge


def _is_frozen(names: Sequence[str], cfg: FinetuneCfg) -> bool:
    """Whether a parameter or buffer with these names is frozen."""
    if cfg.freeze and _any_matches(cfg.freeze, names) is not cfg.freeze_invert:
        return True
    if not _has_adapters(cfg) or any(map(is_adapter, names)):
        return False
    return not _any_matches([*cfg.reset, *cfg.lora.train], names)


def _any_matches(patterns: Iterable[str], names: Sequence[str]) -> bool:
    return any(NamePattern(text).matches(name) for text in patterns for name in names)


def _frozen_modules(model: nn.Module, cfg: FinetuneCfg, trained: Collection[int]) -> list[str]:
    """The outermost modules whose parameters (or, without any, whose buffers) are all frozen."""
    found: list[str] = []
    for name, module in named_modules(model):
        if name.startswith(tuple(f"{outer}." for outer in found)):
            continue
        parameters = list(module.parameters())
        buffers = [f"{name}.{below}" for below, _ in module.named_buffers()]
        if parameters:
            is_frozen = all(id(parameter) not in trained for parameter in parameters)
        else:
            is_frozen = bool(buffers) and all(_is_frozen([buffer], cfg) for buffer in buffers)
        if is_frozen:
            found.append(name)
    return found


def keep_in_evaluation_mode(model: nn.Module, names: Iterable[str]) -> None:
    """Put these modules of a model in training mode back into evaluation mode."""
    for name in names:
        model.get_submodule(name).eval()
