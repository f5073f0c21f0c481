"""The state of every random generator in use, as tensors, and back."""

import math
import random
from typing import Any, cast

import numpy as np
import torch


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of every random generator in use, as tensors."""
    version, python_words, python_gauss = random.getstate()
    assert version == 3, "the layout of random.getstate() has changed"
    numpy_state: Any = np.random.get_state(legacy=True)
    _, numpy_words, position, has_gauss, numpy_gauss = numpy_state
    pending = [math.nan if python_gauss is None else python_gauss, float(has_gauss), numpy_gauss]
    states = {
        "python": torch.tensor(python_words, dtype=torch.int64),
        "numpy": torch.tensor([*numpy_words.tolist(), position], dtype=torch.int64),
        "pending_normals": torch.tensor(pending, dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_state(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore every random generator to the state that `random_state` returned."""
    pending = cast("list[float]", states["pending_normals"].tolist())
    python_gauss, has_gauss, numpy_gauss = pending
    gauss = None if math.isnan(python_gauss) else python_gauss
    python_words = cast("list[int]", states["python"].tolist())
    random.setstate((3, tuple(python_words), gauss))
    numpy_words = cast("list[int]", states["numpy"].tolist())
    *words, position = numpy_words
    state = ("MT19937", np.array(words, dtype=np.uint32), position, int(has_gauss), numpy_gauss)
    np.random.set_state(state)
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
