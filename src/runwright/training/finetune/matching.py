"""Which tensors of a checkpoint match those of a model, and which do not."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import attrs
from torch import Tensor, nn

from runwright.name_patterns import NamePattern
from runwright.training.finetune.lora import is_adapter
from runwright.training.finetune.weights_in import Weights

_MOST_SHOWN: Final = 20
# A counter of batch normalisation, which older files do not have.
_COUNTER: Final = "num_batches_tracked"


@attrs.frozen(kw_only=True)
class Match:
    """A checkpoint compared with a model.

    Attributes:
        key: the key of the checkpoint's options: `finetune`, `finetune.additional.0`.
        checkpoint: the value of its option `checkpoint`.
        weights: its content.
        matched: the names that both have, with tensors of the same shape.
        unexpected: those that the model does not have.
        mismatched: those whose shapes differ: the checkpoint's and the model's.
        reset: those that are not loaded because the model keeps its fresh values.
    """

    key: str
    checkpoint: str
    weights: Weights
    matched: list[str]
    unexpected: list[str]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    reset: list[str]


class Target:
    """The tensors of a model that checkpoints are to fill.

    Attributes:
        tensors: by name.
    """

    def __init__(self, model: nn.Module, reset: Sequence[str]) -> None:
        """Take the tensors of a model; those that `reset` matches keep their fresh values."""
        values = model.state_dict(keep_vars=True).items()
        self.tensors: dict[str, Tensor] = {n: v for n, v in values if isinstance(v, Tensor)}
        self._reset = [NamePattern(text) for text in reset]

    def is_reset(self, name: str) -> bool:
        """Whether the tensor of this name keeps its fresh values."""
        return any(pattern.matches(name) for pattern in self._reset)

    def match(self, key: str, checkpoint: str, weights: Weights) -> Match:
        """Compare a checkpoint with the model."""
        matched: list[str] = []
        unexpected: list[str] = []
        reset: list[str] = []
        mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        for name, tensor in weights.tensors.items():
            if self.is_reset(name):
                reset.append(name)
            elif name not in self.tensors:
                unexpected.append(name)
            elif tensor.shape != self.tensors[name].shape:
                mismatched[name] = tuple(tensor.shape), tuple(self.tensors[name].shape)
            else:
                matched.append(name)
        return Match(
            key=key,
            checkpoint=checkpoint,
            weights=weights,
            matched=sorted(matched),
            unexpected=sorted(unexpected),
            mismatched=mismatched,
            reset=sorted(reset),
        )

    def wanted(self, matches: Sequence[Match]) -> list[str]:
        """The names that the checkpoints are to fill.

        Adapters are included only if a checkpoint has some; otherwise they keep fresh values.
        """
        found = {name for match in matches for name in match.weights.tensors}
        has_adapters = any(map(is_adapter, found))
        return sorted(
            name
            for name in self.tensors
            if not self.is_reset(name)
            and (has_adapters or not is_adapter(name))
            and (name in found or not name.endswith(_COUNTER))
        )

    def missing(self, matches: Sequence[Match]) -> list[str]:
        """The names that no checkpoint fills."""
        # A tensor that is in two places of the model is filled in both.
        filled = {id(self.tensors[name]) for match in matches for name in match.matched}
        return [name for name in self.wanted(matches) if id(self.tensors[name]) not in filled]

    def coverage(self, matches: Sequence[Match]) -> tuple[float, float]:
        """The filled share of what is to be filled: of the tensors, and of the numbers in them."""
        wanted, missing = self.wanted(matches), self.missing(matches)
        numbers = sum(self.tensors[name].numel() for name in wanted)
        absent = sum(self.tensors[name].numel() for name in missing)
        if not wanted:
            return 1.0, 1.0
        return 1 - len(missing) / len(wanted), 1 - absent / max(1, numbers)


def differences(match: Match, missing: Collection[str], *, strict: bool) -> str | None:
    """Why a checkpoint cannot be loaded, and what to do about it; None if it can.

    Args:
        match: the checkpoint compared with the model.
        missing: the names of the model that nothing fills, where that is an error.
        strict: whether names that the model does not have are an error.
    """
    unexpected = match.unexpected if strict else []
    missing = [name for name in missing if name not in match.mismatched]  # told with its shapes
    lines = [
        *(f"missing: {name}" for name in missing),
        *(f"unexpected: {name}" for name in unexpected),
        *(f"shape of {n}: {theirs}, not {ours}" for n, (theirs, ours) in match.mismatched.items()),
    ]
    if not lines:
        return None
    shown = "\n  ".join(sorted(lines)[:_MOST_SHOWN])
    more = f"\n  … and {len(lines) - _MOST_SHOWN} more" if len(lines) > _MOST_SHOWN else ""
    plural = "" if len(lines) == 1 else "s"
    return (
        f"{match.key}.checkpoint={match.checkpoint} does not match the model, {len(lines)} "
        f"difference{plural}:\n  {shown}{more}\n" + " ".join(_advice(match, missing, unexpected))
    )


def _advice(match: Match, missing: Collection[str], unexpected: Collection[str]) -> Iterator[str]:
    renaming = _renaming(missing, unexpected)
    if renaming is not None:
        yield f"The names would match with {match.key}.rename={renaming}."
    if match.mismatched:
        heads = ",".join(sorted({name.rpartition(".")[0] or name for name in match.mismatched}))
        yield f"To keep fresh values where shapes differ, set finetune.reset=[{heads}]."
    if renaming is None and (missing or unexpected):
        yield (
            f"{match.key}.rename changes names in the file, {match.key}.drop ignores them, "
            f"finetune.reset keeps fresh values, and {match.key}.strict=false loads what matches."
        )


def _renaming(missing: Collection[str], unexpected: Collection[str]) -> str | None:
    """The change of prefix that makes most names match, as it is written; None if few would."""
    by_end: dict[str, list[str]] = {}
    for name in missing:
        for beginning, end in _cuts(name):
            by_end.setdefault(end, []).append(beginning)
    found: Counter[tuple[str, str]] = Counter()
    for name in unexpected:
        longest = next(((b, by_end[end]) for b, end in _cuts(name) if end in by_end), None)
        if longest is not None:
            found.update((longest[0], other) for other in longest[1])
    if not found:
        return None
    ((old, new), count), *_ = found.most_common(1)
    if old == new or count * 2 < len(unexpected):
        return None
    if old and all(name.count(old) == 1 for name in unexpected if name.startswith(old)):
        return f"{{{old}: {new or repr('')}}}"
    return f"{{'re:^{old.replace('.', chr(92) + '.')}': {new or repr('')}}} (in a YAML file)"


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    """The ways to cut a name after a dot, the longest end first: ("", "a.b"), ("a.", "b")."""
    parts = name.split(".")
    for count in range(len(parts)):
        beginning = ".".join(parts[:count])
        yield (f"{beginning}." if beginning else ""), ".".join(parts[count:])


def recorded(match: Match, sha256: str) -> Mapping[str, object]:
    """The match as plain values, for the record of the run."""
    return {
        "option": match.key,
        "checkpoint": match.checkpoint,
        "sha256": sha256,
        "matched": match.matched,
        "unexpected": match.unexpected,
        "mismatched": {
            name: {"checkpoint": list(theirs), "model": list(ours)}
            for name, (theirs, ours) in match.mismatched.items()
        },
        "reset": match.reset,
        "dropped": match.weights.dropped,
        "non_tensors": match.weights.non_tensors,
        "not_read": match.weights.foreign,
    }
