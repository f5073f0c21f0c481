"""How a training ended."""

import attrs


@attrs.frozen(kw_only=True)
class FitResult:
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
