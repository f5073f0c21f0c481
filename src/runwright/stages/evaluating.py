"""One pass over a split for both the measures and the table of predictions."""

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from runwright.data import Split
from runwright.objective import Evaluation
from runwright.stage import Trained


def evaluate(
    trained: Trained[Any], split: Split[Any], *, keeps_table: bool
) -> tuple[Evaluation[Any], dict[str, NDArray[Any]]]:
    """Measure a split and, if `keeps_table`, keep the predictions for its examples.

    They are not kept where it is not examples that are resampled.

    Returns:
        The measures, and the columns of the table of predictions, which is empty if not kept.

    Raises:
        UserError: the objective has no table of predictions.
    """
    objective, model = trained.objective, trained.model
    evaluation = objective.evaluation()
    keeps_table &= evaluation.bootstrap_unit is None
    parts: list[dict[str, NDArray[Any]]] = []
    with trained.applying(), _forward_once(model):
        for batch in trained.batches(split):
            evaluation.update(model, batch)
            if keeps_table:
                parts.append(objective.predict(model, batch))
    names = parts[0] if parts else ()
    return evaluation, {name: np.concatenate([part[name] for part in parts]) for name in names}


@contextlib.contextmanager
def _forward_once(model: nn.Module) -> Generator[None]:
    """Within this context, the model's last output is returned again for the very same arguments.

    The measures and the table of predictions each call the model with the same batch.
    """
    forward: Callable[..., Any] = model.forward
    last: list[tuple[tuple[Any, ...], dict[str, Any], Any]] = []

    def remembering(*args: Any, **kwargs: Any) -> Any:
        if last and _are_the_same(last[0][:2], (args, kwargs)):
            return last[0][2]
        last[:] = [(args, kwargs, forward(*args, **kwargs))]
        return last[0][2]

    model.forward = remembering
    try:
        yield
    finally:
        model.forward = forward


def _are_the_same(
    one: tuple[tuple[Any, ...], dict[str, Any]], other: tuple[tuple[Any, ...], dict[str, Any]]
) -> bool:
    values = [[*args, *(kwargs[name] for name in sorted(kwargs))] for args, kwargs in (one, other)]
    return (
        len(values[0]) == len(values[1])
        and one[1].keys() == other[1].keys()
        and all(a is b for a, b in zip(*values, strict=True))
    )
