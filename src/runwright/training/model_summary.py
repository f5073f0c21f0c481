"""What a run prints about its model."""

from typing import Final, Literal

from torch import nn

_MOST_LINES: Final = 40


def architecture(model: nn.Module, *, how: Literal["summary", "whole"]) -> str:
    """The model as torch prints it; if that takes many lines, its parts and their parameters.

    Args:
        model: the model.
        how: whether a long model is summarised or printed whole.
    """
    whole = str(model)
    if how == "whole" or whole.count("\n") < _MOST_LINES:
        return whole
    return (
        f"{_summary(model)}\n({whole.count(chr(10)) + 1} lines; print_model=whole prints them all)"
    )


def _summary(model: nn.Module) -> str:
    path, part = "", model
    while len(children := dict(part.named_children())) == 1:  # only a wrapper
        ((name, part),) = children.items()
        path += f"{name}."
    rows = [(path + name, type(child).__name__, _count(child)) for name, child in children.items()]
    own = sum(p.numel() for p in part.parameters(recurse=False))
    if own:
        rows.append((f"{path}(its own)", "", own))
    left = rows[_MOST_LINES:]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    lines = [f"{type(model).__name__}: {_count(model):,} parameters, {trained:,} of them trainable"]
    width = max((len(name) for name, _, _ in rows), default=0)
    width_of_kind = max((len(kind) for _, kind, _ in rows), default=0)
    digits = max((len(f"{count:,}") for _, _, count in rows), default=0)
    for name, kind, count in rows[:_MOST_LINES]:
        lines.append(f"  {name:<{width}}  {kind:<{width_of_kind}}  {count:>{digits},}")
    if left:
        lines.append(f"  … and {len(left)} more, {sum(count for *_, count in left):,} parameters")
    return "\n".join(lines)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
