"""Labelled images in a memory map, and how they are divided."""

from collections.abc import Mapping
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from runwright import UserError

_USUAL: Final = 0.1


@attrs.frozen(kw_only=True)
class LabelledImages:
    """Images, their classes and groups, and the parts in which they are published.

    Attributes:
        images: (N, C, H, W), uint8.
        labels: (N,), int64.
        groups: (N,), int64.
        parts: the rows of `train`, and of `val` and `test` where there are such, each sorted.
        class_names: the names of the classes, if they have any.
        num_groups: the number of groups; 1 means no groups.
        group_names: the names of the groups, if they have any.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    parts: Mapping[str, NDArray[np.int64]]
    class_names: tuple[str, ...] | None
    num_groups: int = 1
    group_names: tuple[str, ...] | None = None


def divided(
    parts: Mapping[str, NDArray[np.int64]],
    *,
    val_prop: float | None,
    fold: int,
    split_seed: int,
) -> dict[str, NDArray[np.int64]]:
    """The rows of each split; a function of these options alone, whatever the seed of a run.

    Args:
        parts: the rows of each part as published.
        val_prop: the fraction of all that is not for testing to validate on; None takes the
            published part, or a tenth where there is none; 0 is none.
        fold: which part of them to validate on.
        split_seed: seeds the order in which they are divided.

    Raises:
        UserError: a split would be empty, or there are no folds.
    """
    if val_prop is None and "val" in parts:
        if fold:
            raise UserError(
                f"dm.fold={fold}: these data have a validation split of their own. With a "
                "dm.val_prop, e.g. 0.2, training and validation images are divided anew."
            )
        return dict(parts)
    pool = np.concatenate([parts[name] for name in ("train", "val") if name in parts])
    share = _USUAL if val_prop is None else val_prop
    num_val = round(share * len(pool))
    if share and not 0 < num_val < len(pool):
        raise UserError(
            f"dm.val_prop={share} of {len(pool)} images leaves one of the splits empty. "
            "dm.val_prop=0 trains on all, without validation."
        )
    order = np.random.default_rng([split_seed, 0]).permutation(len(pool))
    is_val = np.zeros(len(pool), dtype=bool)
    is_val[order[fold * num_val : (fold + 1) * num_val]] = True
    divided = {"train": np.sort(pool[~is_val]), "val": np.sort(pool[is_val])}
    if "test" in parts:
        divided["test"] = parts["test"]
    return {name: rows for name, rows in divided.items() if len(rows)}
