"""How a training starts from the weights of another, in this order.

1. The model is built, its layers get adapters, and parameters are frozen: `prepare`. That follows
   from the configuration alone, so a run that is resumed or measured does it as well.
2. At the start of a training only, the checkpoints are read and compared with the model, and the
   weights are loaded: first the whole, then its parts, then adapters: `Start`.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
from torch import nn

from runwright.atomic_files import write_bytes
from runwright.errors import ConfigError, UserError
from runwright.finetune_options import FinetuneCfg, SourceOptions, is_url
from runwright.name_patterns import met_by_none
from runwright.training.finetune.adapter_files import read_adapters
from runwright.training.finetune.freezing import freeze
from runwright.training.finetune.lora import (
    adapted_layers,
    add_adapters,
    is_adapter,
    merge_adapters,
    without_such_layers,
)
from runwright.training.finetune.matching import Match, Target, differences, recorded
from runwright.training.finetune.source_files import checked_file, fetched_file, local_file
from runwright.training.finetune.weights_in import Weights, weights_in

log = logging.getLogger(__name__)

REPORT: Final = "finetune.json"
_MOST_SHOWN: Final = 8
_ADAPTERS: Final = "finetune.lora"


def prepare(model: nn.Module, cfg: FinetuneCfg) -> frozenset[str]:
    """Give the model its adapters, and freeze what is not trained; loads nothing.

    Returns:
        The names of the modules that are to stay in evaluation mode, as all of them is frozen.

    Raises:
        ConfigError: patterns name nothing in the model; all of them.
        UserError: nothing is left to train.
    """
    wrong = list(without_such_layers(model, cfg.lora))
    if cfg.lora.layers and not cfg.lora.merge and not wrong:
        add_adapters(model, cfg.lora)
    parameters = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    for option, texts, what, names in (
        ("reset", cfg.reset, "tensor", model.state_dict()),
        ("lora.train", cfg.lora.train, "parameter", parameters),
        ("freeze", cfg.freeze, "parameter", parameters),
    ):
        sentences = met_by_none(texts, names, f"{what} of the model")
        wrong += [f"finetune.{option}: {sentence}" for sentence in sentences]
    if wrong:
        raise ConfigError(wrong)
    return freeze(model, cfg)


@attrs.frozen(kw_only=True)
class _Source:
    """A checkpoint that was found: where its options stand, what it is, and how it goes in."""

    match: Match
    options: SourceOptions
    sha256: str = ""


class Start:
    """The checkpoints that a training starts from, compared with its model; nothing is loaded yet.

    Attributes:
        problems: what keeps them from being loaded, a text each.
    """

    def __init__(self, model: nn.Module, cfg: FinetuneCfg, *, is_early: bool = False) -> None:
        """Read the checkpoints and compare them with a model that is prepared.

        Args:
            model: the model, on the meta device if it is early.
            cfg: what it starts from.
            is_early: whether this is before the run, when nothing is fetched and no file is read
                as a whole to take its SHA-256.

        Raises:
            RunError: a file cannot be fetched now.
        """
        self._model = model
        self._cfg = cfg
        self._is_early = is_early
        self.problems: list[str] = []
        if cfg.lora.merge:
            add_adapters(model, cfg.lora)
        self._target = Target(model, cfg.reset)
        self._is_whole = True
        self._sources: list[_Source] = []
        for key, options in _named(cfg):
            self._collect(key, options)
        if self._is_whole:  # else not even what is missing can be told
            self.problems += self._clashes()
        if not self.problems and self._is_whole and cfg.checkpoint is not None:
            self.problems += self._too_few()

    def _collect(self, key: str, options: SourceOptions) -> None:
        try:
            found = _read(self._cfg, key, options, is_early=self._is_early)
        except UserError as error:
            self.problems.append(str(error))
            found = None
        if found is None:
            self._is_whole = False
            return
        weights, sha256 = found
        match = self._target.match(key, str(options.checkpoint), weights)
        self._sources.append(_Source(match=match, options=options, sha256=sha256))

    def _clashes(self) -> Iterator[str]:
        cfg, matches = self._cfg, self._matches
        missing = self._target.missing(matches)
        for source in self._sources:
            match = source.match
            adapters = [n for n in match.weights.tensors if is_adapter(n)]
            if adapters and not cfg.lora.layers:
                yield (
                    f"{match.key}.checkpoint={match.checkpoint} has adapters ({adapters[0]}, …): "
                    "list their layers in finetune.lora.layers, to train them or, with "
                    "finetune.lora.merge=true, to fold them into the weights; or ignore them with "
                    f"{match.key}.drop=[lora_]."
                )
                continue
            absent = missing if match.key == "finetune" and cfg.strict else []
            if match.key == _ADAPTERS:
                absent = [name for name in missing if is_adapter(name)]
            text = differences(match, absent, strict=source.options.strict)
            if text is not None:
                yield text
            elif not match.matched and not match.reset:
                yield (
                    f"{match.key}.checkpoint={match.checkpoint}: none of its tensors "
                    f"({', '.join([*match.weights.tensors][:_MOST_SHOWN])} …) is in the model."
                )
        if cfg.lora.merge and not any(is_adapter(n) for m in matches for n in m.matched):
            yield "finetune.lora.merge: no checkpoint has adapters to fold into the weights."

    def _too_few(self) -> Iterator[str]:
        of_names, of_numbers = self._target.coverage(self._matches)
        least = self._cfg.min_matched
        if min(of_names, of_numbers) >= least:
            return
        yield (
            f"The checkpoints cover {of_names:.1%} of the model's tensors and {of_numbers:.1%} of "
            f"the numbers in them, less than finetune.min_matched={least:g}. Missing: "
            f"{_listed(self._target.missing(self._matches))}. Check finetune.rename, list what is "
            "to keep fresh values in finetune.reset, or lower finetune.min_matched."
        )

    @property
    def _matches(self) -> list[Match]:
        return [source.match for source in self._sources]

    def load(self) -> None:
        """Load the weights into the model.

        Raises:
            ConfigError: there are problems; all of them.
        """
        if self.problems:
            raise ConfigError(self.problems)
        for match in self._matches:
            found = {name: match.weights.tensors[name] for name in match.matched}
            self._model.load_state_dict(found, strict=False)
        if self._cfg.lora.merge:
            merge_adapters(self._model)

    def record(self, run_dir: Path, frozen: frozenset[str]) -> None:
        """Log what was found, and write it to the run directory, `finetune.json`."""
        missing = [] if self._cfg.checkpoint is None else self._target.missing(self._matches)
        of_names, of_numbers = self._target.coverage(self._matches)
        for match in self._matches:
            log.info(
                "%s.checkpoint=%s: %d tensors match.",
                match.key,
                match.checkpoint,
                len(match.matched),
            )
            shapes = [f"{n} {a}, not {b}" for n, (a, b) in match.mismatched.items()]
            for what, names in (
                ("unexpected", match.unexpected),
                ("other shapes", shapes),
                ("reset", match.reset),
                ("dropped", match.weights.dropped),
                ("not tensors", match.weights.no_tensors),
                ("classes not loaded", match.weights.foreign),
            ):
                if names:
                    log.info("  %s (%d): %s", what, len(names), _listed(names))
        if self._cfg.checkpoint is not None:
            share = (100 * of_names, 100 * of_numbers)
            log.info(
                "Loaded %.1f %% of the model's tensors, %.1f %% of the numbers in them.", *share
            )
        if missing:
            log.warning("  missing (%d): %s", len(missing), _listed(missing))
        parameters = list(self._model.parameters())
        trained = [p for p in parameters if p.requires_grad]
        adapted = list(adapted_layers(self._model))
        counts = sum(p.numel() for p in trained), sum(p.numel() for p in parameters)
        log.info("Training %s of %s parameters.", *(f"{count:,}" for count in counts))
        report = {
            "checkpoints": [recorded(one.match, one.sha256) for one in self._sources],
            "missing": missing,
            "matched_share": {"tensors": of_names, "numbers": of_numbers},
            "adapted_layers": adapted,
            "frozen_modules": sorted(frozen),
            "parameters": {"trained": counts[0], "all": counts[1]},
        }
        write_bytes(run_dir / REPORT, (json.dumps(report, indent=2) + "\n").encode())


def unreadable(cfg: FinetuneCfg) -> Iterator[str]:
    """What is wrong with the checkpoints themselves, where there is no model yet; fetches nothing.

    A sentence each.
    """
    for key, options in _named(cfg):
        try:
            _read(cfg, key, options, is_early=True)
        except UserError as error:
            yield str(error)


def _read(
    cfg: FinetuneCfg, key: str, options: SourceOptions, *, is_early: bool
) -> tuple[Weights, str] | None:
    """What is in a checkpoint, and its SHA-256 if it is not early; None if it is not here yet.

    Raises:
        UserError: there is no such file, or it is not as the options say.
        RunError: it cannot be fetched now.
    """
    checkpoint, sha256 = options.checkpoint, ""
    assert checkpoint is not None
    if key == _ADAPTERS:
        return read_adapters(checkpoint, cfg.lora), sha256
    path: Path | None
    if not is_early:
        path, sha256 = checked_file(checkpoint, options.sha256, f"{key}.checkpoint")
    elif is_url(checkpoint):
        path = fetched_file(checkpoint, options.sha256 or "")
    else:
        path = local_file(checkpoint, f"{key}.checkpoint")
    return None if path is None else (weights_in(path, options, key), sha256)


def _named(cfg: FinetuneCfg) -> Iterator[tuple[str, SourceOptions]]:
    """The checkpoints in the order in which they are loaded, with where their options stand."""
    if cfg.checkpoint is not None:
        yield "finetune", cfg
    for index, one in enumerate(cfg.additional):
        yield f"finetune.additional[{index}]", one
    if cfg.lora.checkpoint is not None:
        yield _ADAPTERS, SourceOptions(checkpoint=cfg.lora.checkpoint)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_SHOWN])
    return f"{shown}, …" if len(names) > _MOST_SHOWN else shown
