"""Taking the pixels of images from other places of the same images."""

import torch
from torch import Tensor


def resampled(images: Tensor, rows: Tensor, columns: Tensor, *, reflects: bool) -> Tensor:
    """Images whose pixels are taken from these places.

    Args:
        images: (B, C, H, W).
        rows: the row of the source of each pixel, int64, (B, H, W) or shapes that make it.
        columns: its column.
        reflects: whether an image continues mirrored beyond its border, or with zeros.
    """
    batch, channels, height, width = images.shape
    is_inside: Tensor | None = None
    if reflects:
        rows, columns = _reflected(rows, height), _reflected(columns, width)
    else:
        is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    # One index for all channels: much faster than indexing with one tensor for each dimension.
    places = (rows * width + columns).flatten(1)[:, None].expand(batch, channels, -1)
    taken = images.flatten(2).gather(2, places).view(batch, channels, height, width)
    return taken if is_inside is None else torch.where(is_inside[:, None], taken, 0)


def _reflected(places: Tensor, length: int) -> Tensor:
    """Places up to one length beyond either border, mirrored back at the outermost pixels."""
    return (length - 1) - ((length - 1) - places.abs()).abs()
