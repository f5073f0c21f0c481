"""The progress of a training."""

import attrs


@attrs.define(kw_only=True)
class TrainState:
    """What a resumed run must know besides tensors; saved with every checkpoint.

    Attributes:
        step: steps done.
        monitor: the measure that decides which weights are best.
        best: its best value so far; `best_step` is the step of that value.
        best_measures: all that was measured at that step.
        leaders: (step, value) of the best validations whose weights are kept, the best first.
        validations_without_best: for early stopping.
        unread: the losses since they were last recorded, one list of floats per loss.
        finished: whether the training has finished.
        pruned: whether it was pruned because other trials do better.
    """

    step: int = 0
    monitor: str = ""
    best: float | None = None
    best_step: int = 0
    best_measures: dict[str, float] = attrs.field(factory=dict[str, float])
    leaders: list[tuple[int, float]] = attrs.field(factory=list[tuple[int, float]])
    validations_without_best: int = 0
    unread: dict[str, list[float]] = attrs.field(factory=dict[str, list[float]])
    finished: bool = False
    pruned: bool = False
