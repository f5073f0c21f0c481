"""Attention between the cells of a set."""

from torch import Tensor
from torch.nn import functional


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, dropout: float
) -> Tensor:
    """Softmax attention of every cell to every cell that is no padding.

    Args:
        query: (B, S, heads, D).
        key: (B, S, key-value heads, D); each is shared by as many query heads as there are to one
            (grouped-query attention, Ainslie et al. 2023).
        value: as `key`.
        mask: (B, S), bool, false in the padding; None if there is none.
        dropout: probability with which an attention weight is dropped.

    Returns:
        (B, S, heads · D).
    """
    if (group := query.shape[2] // key.shape[2]) > 1:
        # Not `enable_gqa`, which with a mask has no fast kernel on a GPU.
        key, value = (part.repeat_interleave(group, dim=2) for part in (key, value))
    attended = functional.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=None if mask is None else mask[:, None, None, :],
        dropout_p=dropout,
    )
    return attended.transpose(1, 2).flatten(2)
