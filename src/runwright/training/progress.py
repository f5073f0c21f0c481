"""How far a training has come, and how it ended."""

import attrs


@attrs.frozen(kw_only=True)
class Fitted:
    """How a training ended.

    Attributes:
        monitor: the measure that decided which weights are best.
        value: its value at the best validation.
        step: the step of the best validation.
        steps: the steps done.
        measures: everything that was measured at that step.
        higher_is_better: whether more of the monitored measure is better.
        pruned: whether the training was ended because others do better.
    """

    monitor: str
    value: float
    step: int
    steps: int
    measures: dict[str, float]
    higher_is_better: bool
    pruned: bool

    def __str__(self) -> str:
        return f"Best {self.monitor}: {self.value:.4f}, at step {self.step} of {self.steps}."


@attrs.define(kw_only=True)
class Progress:
    """What a resumed run must know beside tensors; saved with every checkpoint.

    Attributes:
        step: steps done.
        monitor: the measure that decides which weights are best.
        best: its best value so far, and `best_step` the step of that.
        best_measures: all that was measured at that step.
        validations_without_best: for early stopping.
        unread: the losses since they were last recorded, one list of floats a loss.
        finished: whether the training came to its end.
        pruned: whether that is because others do better.
    """

    step: int = 0
    monitor: str = ""
    best: float | None = None
    best_step: int = 0
    best_measures: dict[str, float] = attrs.field(factory=dict[str, float])
    validations_without_best: int = 0
    unread: dict[str, list[float]] = attrs.field(factory=dict[str, list[float]])
    finished: bool = False
    pruned: bool = False
