"""The tensors of a checkpoint, by their names in the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import attrs
from torch import Tensor

from runwright.errors import UserError, did_you_mean
from runwright.finetune_options import SourceOptions
from runwright.name_patterns import NamePattern, unmatched
from runwright.training.finetune.checkpoint_files import read_checkpoint
from runwright.training.finetune.lora import plain_names
from runwright.training.finetune.restricted_pickle import Foreign

# The key of the weights in most files; a file without it may hold the weights directly.
_USUAL_KEYS: Final = frozenset({"state_dict", "model"})
_UNWRAPPED: Final = ("model", "state_dict")


@attrs.frozen(kw_only=True)
class Weights:
    """The content of a checkpoint.

    Attributes:
        tensors: by their names in the model.
        dropped: the names that `drop` ignores.
        non_tensors: the names of plain values among the weights.
        foreign: the classes and functions in the file that were not loaded.
    """

    tensors: Mapping[str, Tensor]
    dropped: list[str] = attrs.field(factory=list[str])
    non_tensors: list[str] = attrs.field(factory=list[str])
    foreign: list[str] = attrs.field(factory=list[str])


def weights_in(path: Path, source: SourceOptions, key: str) -> Weights:
    """Read a checkpoint, and give its tensors their names in the model.

    Args:
        path: the file.
        source: where in it the weights are and how their names change.
        key: the key of these options, e.g. `finetune`.

    Raises:
        UserError: there are no weights in it, or a pattern matches nothing.
    """
    whole = read_checkpoint(path)
    entries = _entries(whole, source.model_key, f"{key}.model_key", path)
    tensors = {name: value for name, value in entries.items() if isinstance(value, Tensor)}
    others = {name: value for name, value in entries.items() if name not in tensors}
    if odd := {n: _kind(v) for n, v in others.items() if isinstance(v, Foreign | dict)}:
        listed = ", ".join(f"{name} ({kind})" for name, kind in sorted(odd.items())[:8])
        raise UserError(
            f"{path} contains more than tensors at {key}.model_key={source.model_key}: {listed}."
        )
    names = dict(zip(tensors, plain_names(list(tensors)), strict=True))
    for old, new in source.rename.items():
        _require_matches(f"{key}.rename", [old], names.values(), path)
        names = {given: NamePattern(old).replaced(new, name) for given, name in names.items()}
    _refuse_clashes(names, f"{key}.rename")
    _require_matches(f"{key}.drop", source.drop, names.values(), path)
    patterns = [NamePattern(text) for text in source.drop]
    dropped = {n for n in names.values() if any(pattern.matches(n) for pattern in patterns)}
    kept = {name: tensors[given] for given, name in names.items() if name not in dropped}
    return Weights(
        tensors=_transposed(kept, source.transpose, f"{key}.transpose", path),
        dropped=sorted(dropped),
        non_tensors=sorted(others),
        foreign=sorted(_foreign_in(whole)),
    )


def _transposed(
    tensors: Mapping[str, Tensor], texts: list[str], option: str, path: Path
) -> dict[str, Tensor]:
    """The tensors, those that a pattern matches transposed."""
    _require_matches(option, texts, tensors, path)
    patterns = [NamePattern(text) for text in texts]
    matched = {name for name in tensors if any(pattern.matches(name) for pattern in patterns)}
    for name in sorted(matched):
        if tensors[name].ndim != 2:
            raise UserError(
                f"{option}: '{name}' in {path} has shape {tuple(tensors[name].shape)}; only "
                "matrices are transposed. Use a pattern that does not match it."
            )
    return {name: one.T if name in matched else one for name, one in tensors.items()}


def _entries(whole: Any, model_key: str, option: str, path: Path) -> dict[str, Any]:
    """The dictionary of weights within the content of a file."""
    found: Any = whole
    if isinstance(found, Foreign):
        raise UserError(
            f"{path} contains an object of class {found.what}, which is not loaded. Save only its "
            "weights: torch.save(model.state_dict(), 'weights.pth')."
        )
    if isinstance(found, dict) and not _are_weights(found):
        holder = cast("dict[Any, Any]", found)
        keys = model_key.split("|")
        chosen = next((name for name in keys if name in holder), None)
        if chosen is not None:
            found = holder[chosen]
        elif unknown := [name for name in keys if name not in _USUAL_KEYS]:
            known = [str(name) for name, value in holder.items() if isinstance(value, dict)]
            raise UserError(
                f"{option}={model_key}: {path} has no such key. " + did_you_mean(unknown[0], known)
            )
    for name in _UNWRAPPED:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = cast("dict[str, Any]", found)[name]
    if not isinstance(found, dict):
        raise UserError(f"{path} has no weights at {option}={model_key}, but {_kind(found)}.")
    entries = cast("dict[Any, Any]", found)
    if not any(isinstance(value, Tensor) for value in entries.values()):
        listed = ", ".join(f"{name} ({_kind(value)})" for name, value in [*entries.items()][:8])
        raise UserError(
            f"{path} has no weights at {option}={model_key}, but {listed or 'nothing'}. Set the "
            "option to the key of the weights."
        )
    return {str(name): value for name, value in entries.items()}


def _are_weights(found: Any) -> bool:
    """Whether a dictionary holds tensors, and no dictionaries that could hold others."""
    values = cast("dict[Any, Any]", found).values()
    has_tensors = any(isinstance(value, Tensor) for value in values)
    return has_tensors and not any(isinstance(value, dict) for value in values)


def _kind(value: Any) -> str:
    if isinstance(value, Foreign):
        return value.what
    return "a dictionary" if isinstance(value, dict) else f"a {type(value).__name__}"


def _require_matches(option: str, patterns: list[str], names: Any, path: Path) -> None:
    if wrong := unmatched(patterns, names, f"tensor in {path}"):
        raise UserError("\n".join(f"{option}: {sentence}" for sentence in wrong))


def _refuse_clashes(names: Mapping[str, str], option: str) -> None:
    first: dict[str, str] = {}
    for given, name in names.items():
        if name in first:
            raise UserError(f"{option}: '{first[name]}' and '{given}' would both become '{name}'.")
        first[name] = given


def _foreign_in(whole: Any) -> set[str]:
    """The names of everything that was not loaded, at every depth, cycles included."""
    found: set[str] = set()
    seen: set[int] = set()
    left = [whole]
    while left:
        value: Any = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Foreign) or (isinstance(value, type) and issubclass(value, Foreign)):
            found.add(value.what)
        elif isinstance(value, dict):
            left += [*value, *cast("dict[Any, Any]", value).values()]
        elif isinstance(value, list | tuple | set | frozenset):
            left += cast("list[Any]", value)
    return found
