"""Builds every allowed pair of model and data, and every part of whole runs."""

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import attrs

from runwright.config import Config
from runwright.dims import Dims
from runwright.extras import MissingExtraError
from runwright.factory import OptionError
from runwright.finetune_options import FinetuneCfg
from runwright.model import ModelFactory
from runwright.optimizers.optimizer_factory import OptimizerFactory
from runwright.tools.check.cases import Composed, fits
from runwright.tools.check.findings import Findings, listed
from runwright.tools.check.sizes import (
    FROM_NOTHING,
    Broken,
    Misfit,
    Outcome,
    Size,
    Unmeasured,
    explain,
    measure,
    on_meta_device,
)

Described: TypeAlias = "Dims | Misfit | Unmeasured | Broken | None"
"""What is known about data before they are read; None if nothing is."""


@attrs.frozen(kw_only=True)
class Built:
    """A model that was, or could not be, built for some data.

    Attributes:
        name: the user's name for the pair.
        model: the member of the group `model`.
        data: the member of the group `dm`.
        outcome: the size, or why there is none.
    """

    name: str
    model: str
    data: str
    outcome: Outcome


@attrs.frozen(kw_only=True)
class Builder:
    """Builds the parts of a project's compositions, each only once.

    Attributes:
        findings: receives what is wrong.
    """

    findings: Findings
    _dims: dict[str, Described] = attrs.field(init=False, factory=dict[str, Described])
    _outcomes: dict[str, Outcome] = attrs.field(init=False, factory=dict[str, Outcome])

    def dims(self, config: Config) -> Described:
        """What is known of data, and of what the objective adds, from the options alone."""
        dm, objective = config.dm, config.objective
        key = repr((dm, objective))
        if key not in self._dims:
            try:
                try:
                    dm.preflight()
                except MissingExtraError as error:  # what follows from the options is still known
                    self.findings.note(f"Not checked in full: {error}")
                dims = dm.expected_dims()
                adds = dims is not None and fits(type(dm), type(objective))
                self._dims[key] = objective.for_model(dims) if adds else dims
            except Exception as error:  # noqa: BLE001  # a bug in one factory must not hide the others' faults
                self._dims[key] = explain(error)
        return self._dims[key]

    def build(
        self,
        model: ModelFactory,
        dims: Dims,
        opt: OptimizerFactory,
        finetune: FinetuneCfg = FROM_NOTHING,
    ) -> Outcome:
        """Build a model and its optimiser without their memory."""
        key = repr((model, dims, opt, finetune))
        if key not in self._outcomes:
            self._outcomes[key] = measure(model, dims, opt, finetune)
        return self._outcomes[key]

    def pairs(self, composed: list[Composed]) -> list[Built]:
        """Build every model for all data that it accepts, with the default's optimiser."""
        models, data = members(composed, "model"), members(composed, "dm")
        built: list[Built] = []
        for model_name, model_owner in models.items():
            for data_name, data_owner in data.items():
                model, dm = model_owner.config.model, data_owner.config.dm
                dims = self.dims(data_owner.config)
                if isinstance(dims, Dims) and fits(type(dm), type(model)):
                    outcome = _disagreement(data_owner.config, model)
                    outcome = outcome or self.build(model, dims, composed[0].config.opt)
                    name = f"model={model_name} dm={data_name}"
                    pair = Built(name=name, model=model_name, data=data_name, outcome=outcome)
                    built.append(pair)
        self._judge_pairs(built, models)
        return built

    def whole(self, one: Composed) -> Built | None:
        """Build everything that a run consists of; whatever fails is a fault.

        Returns:
            The model, or None if building it needs the data.
        """
        config, place = one.config, one.case.place
        self._try(place, config.opt.preflight)
        self.objective(one)
        dims = self.dims(config)
        if not isinstance(dims, Dims):
            return None
        self._note_checkpoints(place, config.finetune)
        outcome = self.build(config.model, dims, config.opt, config.finetune)
        if isinstance(outcome, Misfit | Broken):
            self.findings.fault(place, outcome.reason)
        elif isinstance(outcome, Unmeasured):
            self.findings.note(f"{place} was not built: {outcome.reason}.")
        elif outcome.optimizer_problem is not None:
            self.findings.fault(place, outcome.optimizer_problem)
        case = one.case
        return Built(
            name=case.name if case.group in ("", "experiment") else f"{case.group}={case.name}",
            model=one.choices.get("model") or "?",
            data=one.choices.get("dm") or "?",
            outcome=outcome,
        )

    def _note_checkpoints(self, place: str, finetune: FinetuneCfg) -> None:
        """Say which weights to start from cannot be read here; they may be elsewhere."""
        from runwright.training.finetune.start import unreadable

        for sentence in unreadable(finetune):
            self.findings.note(f"{place}: {sentence}")

    def objective(self, one: Composed) -> None:
        """Build the objective for what is known of the data; whatever does not work is a fault."""
        dims = self.dims(one.config)
        if isinstance(dims, Dims):
            self._try(one.case.place, lambda: _build_objective(one.config, dims))
        elif isinstance(dims, Broken) or (isinstance(dims, Misfit) and one.case.file is not None):
            self.findings.fault(one.case.place, dims.reason)

    def _try(self, place: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  # a bug in one factory must not hide the others' faults
            reason = explain(error)
            if isinstance(reason, Unmeasured):
                self.findings.note(f"{place} was not built in full: {reason.reason}.")
            else:
                self.findings.fault(place, reason.reason)

    def _judge_pairs(self, built: list[Built], models: dict[str, Composed]) -> None:
        problems: dict[str, list[str]] = {}
        for pair in built:
            if isinstance(pair.outcome, Broken):
                self.findings.fault(pair.name, pair.outcome.reason)
            elif isinstance(pair.outcome, Size) and pair.outcome.optimizer_problem is not None:
                problems.setdefault(pair.outcome.optimizer_problem, []).append(pair.name)
        for problem, names in problems.items():
            if problem not in self.findings.faults:
                self.findings.note(f"{listed(names)}: {problem}")
        for name, owner in models.items():
            outcomes = [pair.outcome for pair in built if pair.model == name]
            reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Misfit)]
            is_variant = owner.case.file is not None and owner.case.group == "model"
            if is_variant and reasons and len(reasons) == len(outcomes):
                self.findings.fault(owner.case.place, f"does not fit any data. {reasons[0]}")


def _disagreement(config: Config, model: ModelFactory) -> Misfit | None:
    """Why a model does not go together with a configuration of other data."""
    try:
        dataclasses.replace(config, model=model)
    except OptionError as error:
        return Misfit(" ".join(error.texts("")))
    return None


def members(composed: list[Composed], group: str) -> dict[str, Composed]:
    """The members of a group by name, each with the composition that has it."""
    found = {one.case.name: one for one in composed if one.case.group == group}
    for one in composed:
        if not one.case.group and (chosen := one.choices.get(group)):
            found.setdefault(chosen, one)
    return dict(sorted(found.items()))


def _build_objective(config: Config, dims: Dims) -> None:
    import torch

    config.objective.preflight()
    with on_meta_device():
        config.objective.build(dims, torch.device("meta"))
