"""Starting a training from existing weights.

1. `prepare` adds adapters to the model and freezes parameters. That follows from the configuration
   alone, so it is done whenever the model is built, also to resume or measure a run.
2. `Start` reads the checkpoints, compares them with the model and loads them: first the main one,
   then the additional ones, then adapters. It is needed only at the start of a training.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
from torch import nn

from runwright.errors import ConfigError, UserError
from runwright.finetune_options import FinetuneCfg, SourceOptions, is_url
from runwright.name_patterns import unmatched
from runwright.storage.atomic_files import write_bytes
from runwright.storage.kept import differing
from runwright.training.finetune.adapter_files import read_adapters, refuse_other_alpha
from runwright.training.finetune.freezing import freeze
from runwright.training.finetune.lora import (
    adapted_layers,
    add_adapters,
    is_adapter,
    merge_adapters,
    unmatched_layers,
)
from runwright.training.finetune.matching import Match, Target, differences, recorded
from runwright.training.finetune.source_files import checked_file, fetched_file, local_file
from runwright.training.finetune.weights_in import Weights, weights_in

log = logging.getLogger(__name__)

REPORT: Final = "finetune.json"
_MOST_SHOWN: Final = 8
_KEPT_DIFFERS: Final = (
    "  kept/%s of these weights differs from that of this run, so the same number may stand "
    "for something else. With checkpoint.load instead, data are read as they were for the weights."
)
_ADAPTERS: Final = "finetune.lora"


def prepare(model: nn.Module, cfg: FinetuneCfg) -> frozenset[str]:
    """Add adapters to the model and freeze what is not trained; loads nothing.

    Returns:
        The names of the modules that are frozen as a whole and must stay in evaluation mode.

    Raises:
        ConfigError: some patterns match nothing in the model; lists all of them.
        UserError: nothing is left to train.
    """
    wrong = list(unmatched_layers(model, cfg.lora))
    if cfg.lora.layers and not cfg.lora.merge and not wrong:
        add_adapters(model, cfg.lora)
    parameters = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    for option, texts, what, names in (
        ("reset", cfg.reset, "tensor", model.state_dict()),
        ("lora.train", cfg.lora.train, "parameter", parameters),
        ("freeze", cfg.freeze, "parameter", parameters),
    ):
        sentences = unmatched(texts, names, f"{what} of the model")
        wrong += [f"finetune.{option}: {sentence}" for sentence in sentences]
    if wrong:
        raise ConfigError(wrong)
    return freeze(model, cfg)


@attrs.frozen(kw_only=True)
class _Source:
    """A checkpoint that was read and compared, its options, and its SHA-256."""

    match: Match
    options: SourceOptions
    sha256: str = ""


class Start:
    """The checkpoints that a training starts from, compared with its model; nothing is loaded yet.

    Attributes:
        problems: why they cannot be loaded, one text per reason.
    """

    def __init__(self, model: nn.Module, cfg: FinetuneCfg, *, is_early: bool = False) -> None:
        """Read the checkpoints and compare them with a prepared model.

        Args:
            model: the model, on the meta device if `is_early`.
            cfg: what it starts from.
            is_early: whether this is before the run, when nothing is downloaded and no SHA-256 is
                computed, which takes reading the whole file.

        Raises:
            RunError: a file cannot be downloaded.
        """
        self._model = model
        self._cfg = cfg
        self._is_early = is_early
        self.problems: list[str] = []
        if cfg.lora.merge:
            add_adapters(model, cfg.lora)
        self._target = Target(model, cfg.reset)
        self._all_read = True
        self._sources: list[_Source] = []
        for key, options in _checkpoints(cfg):
            self._collect(key, options)
        if self._all_read:  # otherwise what is missing is not known
            self.problems += self._mismatches()
        if not self.problems and self._all_read and cfg.checkpoint is not None:
            self.problems += self._low_coverage()

    def _collect(self, key: str, options: SourceOptions) -> None:
        try:
            found = _read(self._cfg, key, options, is_early=self._is_early)
            lora = self._cfg.lora
            if lora.layers and found is not None and any(map(is_adapter, found[0].tensors)):
                refuse_other_alpha(str(options.checkpoint), lora)
        except UserError as error:
            self.problems.append(str(error))
            found = None
        if found is None:
            self._all_read = False
            return
        weights, sha256 = found
        match = self._target.match(key, str(options.checkpoint), weights)
        self._sources.append(_Source(match=match, options=options, sha256=sha256))

    def _mismatches(self) -> Iterator[str]:
        cfg, matches = self._cfg, self._matches
        missing = self._target.missing(matches)
        for source in self._sources:
            match = source.match
            adapters = [n for n in match.weights.tensors if is_adapter(n)]
            if adapters and not cfg.lora.layers:
                yield (
                    f"{match.key}.checkpoint={match.checkpoint} has adapters ({adapters[0]}, …). "
                    "To train them, list their layers in finetune.lora.layers; to fold them into "
                    "the weights, set finetune.lora.merge=true as well; to ignore them, set "
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
                    f"{match.key}.checkpoint={match.checkpoint}: the model has none of its tensors "
                    f"({', '.join([*match.weights.tensors][:_MOST_SHOWN])} …)."
                )
        if cfg.lora.merge and not any(is_adapter(n) for m in matches for n in m.matched):
            yield "finetune.lora.merge: no checkpoint has adapters to fold into the weights."

    def _low_coverage(self) -> Iterator[str]:
        of_names, of_numbers = self._target.coverage(self._matches)
        least = self._cfg.min_matched
        if min(of_names, of_numbers) >= least:
            return
        yield (
            f"The checkpoints cover {of_names:.1%} of the model's tensors and {of_numbers:.1%} of "
            f"the numbers in them, less than finetune.min_matched={least:g}. Missing: "
            f"{_listed(self._target.missing(self._matches))}. Check finetune.rename, list what "
            "should keep fresh values in finetune.reset, or lower finetune.min_matched."
        )

    @property
    def _matches(self) -> list[Match]:
        return [source.match for source in self._sources]

    def load(self) -> None:
        """Load the weights into the model.

        Raises:
            ConfigError: there are problems; lists all of them.
        """
        if self.problems:
            raise ConfigError(self.problems)
        for match in self._matches:
            found = {name: match.weights.tensors[name] for name in match.matched}
            self._model.load_state_dict(found, strict=False)
        if self._cfg.lora.merge:
            merge_adapters(self._model)

    def record(self, run_dir: Path, frozen: frozenset[str]) -> None:
        """Log what was loaded, and write it to `finetune.json` in the run directory."""
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
                ("different shapes", shapes),
                ("reset", match.reset),
                ("dropped", match.weights.dropped),
                ("not tensors", match.weights.non_tensors),
                ("classes not loaded", match.weights.foreign),
            ):
                if names:
                    log.info("  %s (%d): %s", what, len(names), _listed(names))
            for name in (
                [] if is_url(match.checkpoint) else differing(Path(match.checkpoint), run_dir)
            ):
                log.warning(_KEPT_DIFFERS, name)
        if self._cfg.checkpoint is not None:
            rest = " that are not reset" if any(match.reset for match in self._matches) else ""
            log.info(
                "Loaded %.1f %% of the model's tensors%s, %.1f %% of the numbers in them.",
                *(100 * of_names, rest, 100 * of_numbers),
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
    """What is wrong with the checkpoints themselves, without a model; downloads nothing."""
    for key, options in _checkpoints(cfg):
        try:
            _read(cfg, key, options, is_early=True)
        except UserError as error:
            yield str(error)


def _read(
    cfg: FinetuneCfg, key: str, options: SourceOptions, *, is_early: bool
) -> tuple[Weights, str] | None:
    """A checkpoint's content and SHA-256 (empty if `is_early`); None if not downloaded yet.

    Raises:
        UserError: there is no such file, or it does not fit the options.
        RunError: it cannot be downloaded.
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


def _checkpoints(cfg: FinetuneCfg) -> Iterator[tuple[str, SourceOptions]]:
    """The checkpoints in the order in which they are loaded: key and options of each."""
    if cfg.checkpoint is not None:
        yield "finetune", cfg
    for index, one in enumerate(cfg.additional):
        yield f"finetune.additional.{index}", one
    if cfg.lora.checkpoint is not None:
        yield _ADAPTERS, SourceOptions(checkpoint=cfg.lora.checkpoint)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_SHOWN])
    return f"{shown}, …" if len(names) > _MOST_SHOWN else shown
