"""A picture to paint outlines on, and the outlines that a face is made of.

Coordinates are pixels of an upright face in a picture of CelebA's size, x to the right and y
downward. A `Canvas` turns, scales and shifts what is painted on it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

WIDTH: Final = 178
HEIGHT: Final = 218
CENTER_X: Final = WIDTH / 2 - 0.5

# Painted larger and reduced in the end, which smooths the edges.
OVERSAMPLING: Final = 2

_PIVOT: Final = np.array([CENTER_X, 118.0])

Outline = NDArray[np.float64]
"""Points of shape (K, 2)."""
Color = tuple[int, int, int]


class Canvas:
    """A picture of `WIDTH`×`HEIGHT` pixels that polygons and lines are painted on."""

    def __init__(
        self,
        background: Image.Image,
        *,
        tilt: float = 0.0,
        scale: float = 1.0,
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Paint over `background`.

        Args:
            background: a picture `OVERSAMPLING` times as wide and high.
            tilt: by how much to turn what is painted, in degrees.
            scale: by how much to enlarge it.
            shift: by how much to move it, in pixels.
        """
        self.image = background
        self._draw = ImageDraw.Draw(background, "RGBA")
        cos, sin = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        self._turn = np.array([[cos, sin], [-sin, cos]]) * scale
        self._shift = _PIVOT + shift
        self._scale = scale

    def place(self, points: Outline) -> Outline:
        """Where these points come to lie in the reduced picture."""
        return (points - _PIVOT) @ self._turn + self._shift

    def fill(self, outline: Outline, color: Color, alpha: float = 1.0) -> None:
        """Fill a polygon, with the share `alpha` of this colour."""
        points = self.place(outline) * OVERSAMPLING
        self._draw.polygon(points.ravel().tolist(), fill=(*color, round(255 * alpha)))

    def stroke(self, line: Outline, color: Color, width: float, alpha: float = 1.0) -> None:
        """Draw an open line of this width in pixels."""
        points = self.place(line) * OVERSAMPLING
        self._draw.line(
            points.ravel().tolist(),
            fill=(*color, round(255 * alpha)),
            width=max(1, round(width * self._scale * OVERSAMPLING)),
            joint="curve",
        )

    def glow(
        self, center: tuple[float, float], radii: tuple[float, float], color: Color, alpha: float
    ) -> None:
        """Fill an ellipse that fades toward its edge."""
        steps = 6
        share = 1 - (1 - alpha) ** (1 / steps)
        for step in range(steps):
            size = 1 - step / steps
            self.fill(ellipse(center, (radii[0] * size, radii[1] * size)), color, share)


def ellipse(
    center: tuple[float, float],
    radii: tuple[float, float],
    start: float = 0.0,
    stop: float = 360.0,
) -> Outline:
    """An ellipse, or its arc between two angles (degrees, clockwise from the right)."""
    angle = np.radians(np.linspace(start, stop, max(8, round(abs(stop - start) / 9))))
    return np.stack(
        [center[0] + radii[0] * np.cos(angle), center[1] + radii[1] * np.sin(angle)], axis=1
    )


def curve(points: Sequence[tuple[float, float]], per_segment: int = 8) -> Outline:
    """A smooth line through the points: a Catmull–Rom spline."""
    knots = np.asarray(points, dtype=np.float64)
    padded = np.concatenate(
        [2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]], axis=0
    )
    before, start, stop, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, per_segment, endpoint=False)[None, :, None]
    before, start, stop, after = (p[:, None, :] for p in (before, start, stop, after))
    segments = 0.5 * (
        2 * start
        + (stop - before) * t
        + (2 * before - 5 * start + 4 * stop - after) * t**2
        + (3 * start - before - 3 * stop + after) * t**3
    )
    return np.concatenate([segments.reshape(-1, 2), knots[-1:]], axis=0)


def mirrored(outline: Outline) -> Outline:
    """The same on the other side of the face, in reverse order."""
    return np.stack([2 * CENTER_X - outline[::-1, 0], outline[::-1, 1]], axis=1)


def shade(color: Color, factor: float) -> Color:
    """The colour made darker (below 1) or lighter (above 1)."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in color)
    return red, green, blue


def blend(color: Color, other: Color, share: float) -> Color:
    """The colour mixed with `share` of another."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(color, other, strict=True))
    return red, green, blue
