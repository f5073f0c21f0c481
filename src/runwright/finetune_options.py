"""The options of a training that starts from existing weights."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Final

from typing_extensions import override

from runwright.factory import Settings, option, settings
from runwright.name_patterns import NamePattern, problems_of_patterns

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{8,64}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PATTERN: Final = "each a substring or re:REGEX"


def is_url(checkpoint: str) -> bool:
    """Whether a checkpoint has to be downloaded."""
    return _SCHEME.match(checkpoint) is not None


@settings
class SourceOptions(Settings):
    """A file of weights, and how the names in it become those of the model."""

    checkpoint: str | None = option(
        default=None,
        doc="weights to start from: a .safetensors, .pth, .pt or .ckpt file, a run directory (its "
        "best weights) or an https URL; null for none",
    )
    sha256: str | None = option(
        default=None, doc="SHA-256 of the file, or at least its first 8 digits; required for a URL"
    )
    model_key: str = option(
        default="state_dict|model",
        doc="key of the weights in a .pth, .pt or .ckpt file; a|b means the first that exists, or "
        "else the file itself",
    )
    rename: dict[str, str] = option(
        default={},
        doc="replacements in the names in the file, {old: new}, in this order; old is a substring "
        "or re:REGEX",
    )
    drop: list[str] = option(
        default=[], doc=f"names in the file to ignore, after renaming; {_PATTERN}"
    )
    transpose: list[str] = option(
        default=[],
        doc="matrices in the file to transpose, after renaming, such as those of layers that keep "
        f"(inputs, outputs); {_PATTERN}",
    )
    strict: bool = option(
        default=True, doc="whether every tensor in the file must exist in the model"
    )

    @override
    def problems(self) -> Iterator[str]:
        if self.checkpoint is None:
            return
        if not self.checkpoint.strip():
            yield "`checkpoint` is empty; use null for none"
        if is_url(self.checkpoint):
            if not self.checkpoint.startswith("https://"):
                yield f"`checkpoint` must be a path or an https URL, got {self.checkpoint}"
            elif self.sha256 is None:
                yield (
                    f"`sha256` must be given with `checkpoint`={self.checkpoint}, so that the file "
                    "is always the same. Many file names contain the first digits "
                    "(resnet18-f37072fd.pth); otherwise download it once and run sha256sum"
                )
        if self.sha256 is not None and not _DIGEST.fullmatch(self.sha256):
            yield f"`sha256` must be 64 hex digits, or at least the first 8, got {self.sha256}"
        if not all(self.model_key.split("|")):
            yield f"`model_key` contains an empty key: '{self.model_key}'"
        yield from self._problems_of_renaming()
        yield from problems_of_patterns("drop", self.drop)
        yield from problems_of_patterns("transpose", self.transpose)

    def _problems_of_renaming(self) -> Iterator[str]:
        before: list[tuple[str, str]] = []
        for old, new in self.rename.items():
            pattern = NamePattern(old)
            problem = pattern.problem() or pattern.replacement_problem(new)
            if problem is not None:
                yield f"`rename`: '{old}' {problem}"
                continue
            if old == new:
                yield f"`rename`: '{old}' is replaced with itself"
            for earlier, became in before:
                if earlier == new and became == old:
                    yield (
                        f"`rename`: '{earlier}' becomes '{became}' and then '{new}' again. To swap "
                        "two names, rename one of them to a third name first"
                    )
            before.append((old, new))


def without_effect(cfg: Settings, unset: str, *, others: tuple[str, ...] = ()) -> Iterator[str]:
    """A sentence for each option that was set but does nothing because another one is not set.

    Args:
        cfg: the options.
        unset: the option that is not set, in backticks.
        others: the options that do not depend on it.
    """
    for field in dataclasses.fields(cfg):  # pyright: ignore[reportArgumentType]  # every subclass is a dataclass
        made = field.default_factory
        usual = field.default if made is dataclasses.MISSING else made()
        if field.name not in others and getattr(cfg, field.name) != usual:
            yield f"`{field.name}` has no effect without {unset}"


@settings
class CheckpointSource(SourceOptions):
    """A further checkpoint, e.g. of a part of the model."""

    checkpoint: str = option(  # pyright: ignore[reportGeneralTypeIssues]  # required here
        doc="the file, run directory or https URL"
    )


@settings
class LoraCfg(Settings):
    """Low-rank adapters (Hu et al. 2021, https://arxiv.org/abs/2106.09685): W + B·A·alpha/rank."""

    layers: list[str] = option(
        default=[],
        doc="nn.Linear and nn.Conv2d layers to add adapters to; everything else is frozen, except "
        f"finetune.reset and train; {_PATTERN}",
    )
    rank: int = option(default=8, ge=1, doc="rank of the adapters of nn.Linear layers")
    conv_rank: int = option(default=4, ge=1, doc="rank of the adapters of nn.Conv2d layers")
    alpha: float = option(default=1.0, gt=0, doc="adapters are scaled by alpha/rank")
    train: list[str] = option(
        default=[], doc=f"parameters to train in addition to the adapters, e.g. a head; {_PATTERN}"
    )
    checkpoint: str | None = option(
        default=None,
        doc="adapters to start from: a folder in the format of the peft package, a run directory "
        "or a file",
    )
    merge: bool = option(
        default=False,
        doc="whether to fold the loaded adapters into the weights and train without adapters",
    )

    @override
    def problems(self) -> Iterator[str]:
        yield from problems_of_patterns("layers", self.layers)
        yield from problems_of_patterns("train", self.train)
        if not self.layers:
            yield from without_effect(self, "`layers`")
        if self.checkpoint is not None and is_url(self.checkpoint):
            yield f"`checkpoint` must be a path, got {self.checkpoint}"
        if self.merge and self.train:
            yield "`train` has no effect with `merge`, which trains the whole model"


@settings
class FinetuneCfg(SourceOptions):
    """Start from existing weights, and train all or part of the model."""

    reset: list[str] = option(
        default=[],
        doc="tensors of the model that keep fresh values, e.g. a head of a different size; "
        f"{_PATTERN}",
    )
    min_matched: float = option(
        default=0.5,
        ge=0,
        le=1,
        doc="fraction of the model (apart from reset) that must be loaded: of its tensors, and of "
        "the numbers in them",
    )
    additional: list[CheckpointSource] = option(
        default=[], doc="further checkpoints, loaded after the first one, in this order"
    )
    lora: LoraCfg = option(default=LoraCfg(), doc="low-rank adapters")
    freeze: list[str] = option(default=[], doc=f"parameters to freeze; {_PATTERN}")
    freeze_invert: bool = option(
        default=False, doc="whether to freeze everything except what freeze matches"
    )

    @override
    def problems(self) -> Iterator[str]:
        yield from super().problems()
        yield from problems_of_patterns("reset", self.reset)
        yield from problems_of_patterns("freeze", self.freeze)
        if self.checkpoint is None:
            others = ("additional", "lora", "freeze", "freeze_invert")
            yield from without_effect(self, "`checkpoint`", others=others)
        if self.freeze_invert and not self.freeze:
            yield "`freeze_invert` has no effect without `freeze`"
