"""Clothes, jewellery and spectacles."""

from typing import Final

import numpy as np

from runwright.domains.vision.cartoon.canvas import (
    CENTER_X,
    Canvas,
    Color,
    curve,
    ellipse,
    mirrored,
    shade,
)
from runwright.domains.vision.cartoon.features import EYES, Face
from runwright.domains.vision.celeba_attributes import CelebAttr

_METALS: Final[tuple[Color, ...]] = ((222, 182, 74), (206, 208, 214))


def paint_bust(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """Neck, shoulders and clothes, with necktie or necklace."""
    has = face.has
    neck = 25.0 if CelebAttr.MALE in has else 18.0
    neck += 5 if CelebAttr.CHUBBY in has else 0
    clothes = _cloth(rng)
    shadow = shade(face.skin, 0.80)
    trunk = curve(
        [
            (CENTER_X - neck, 150.0),
            (CENTER_X - neck, 190.0),
            (CENTER_X - neck - 14, 206.0),
            (CENTER_X - 60, 240.0),
        ]
    )
    canvas.fill(np.concatenate([trunk, mirrored(trunk)]), shadow)
    tie = CelebAttr.WEARING_NECKTIE in has
    neckline = rng.uniform(203, 216)
    collar = 200.0 if tie else neckline
    body = curve(
        [
            (CENTER_X, collar + 9),
            (CENTER_X - neck * 0.7, collar + 4),
            (CENTER_X - neck - 8, collar - 7),
            (CENTER_X - 62, 207.0),
            (CENTER_X - 88, 217.0),
            (CENTER_X - 96, 260.0),
        ]
    )
    canvas.fill(np.concatenate([body, mirrored(body)]), clothes)
    if tie:
        _paint_necktie(canvas, neck, rng)
    if CelebAttr.WEARING_NECKLACE in has:
        metal = _METALS[int(rng.integers(2))]
        chain = curve([(CENTER_X - neck - 3, 191.0), (CENTER_X - 13, 204.0), (CENTER_X, 208.0)])
        chain = np.concatenate([chain, mirrored(chain)])
        canvas.stroke(chain, shade(metal, 0.7), 3.2)
        for x, y in chain[::2]:
            canvas.fill(ellipse((x, y), (1.9, 1.9)), shade(metal, 1.15))


def _cloth(rng: np.random.Generator) -> Color:
    red, green, blue = np.clip(rng.uniform(25, 215) + rng.normal(0, 38, 3), 10, 245).tolist()
    return round(red), round(green), round(blue)


def _paint_necktie(canvas: Canvas, neck: float, rng: np.random.Generator) -> None:
    color = _cloth(rng)
    shirt = np.array(
        [
            [CENTER_X - neck - 5, 190.0],
            [CENTER_X, 204.0],
            [CENTER_X + neck + 5, 190.0],
            [CENTER_X + neck + 2, 240.0],
            [CENTER_X - neck - 2, 240.0],
        ]
    )
    canvas.fill(shirt, (238, 240, 244))
    canvas.fill(
        np.array(
            [
                [CENTER_X - 6, 200.0],
                [CENTER_X + 6, 200.0],
                [CENTER_X + 4, 209.0],
                [CENTER_X - 4, 209.0],
            ]
        ),
        shade(color, 0.8),
    )
    canvas.fill(
        np.array(
            [
                [CENTER_X - 4, 209.0],
                [CENTER_X + 4, 209.0],
                [CENTER_X + 9, 245.0],
                [CENTER_X - 9, 245.0],
            ]
        ),
        color,
    )


def paint_earrings(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """Rings of gold or silver at the lobes of the ears."""
    if CelebAttr.WEARING_EARRINGS not in face.has:
        return
    metal = _METALS[int(rng.integers(2))]
    radius = rng.uniform(3, 6)
    for side in (-1, 1):
        center = (CENTER_X + side * (face.half_width + 4), 131 + radius)
        canvas.fill(ellipse(center, (radius, radius)), shade(metal, 0.6))
        canvas.fill(ellipse(center, (radius * 0.8, radius * 0.8)), metal)
        canvas.fill(ellipse((center[0] - 1, center[1] - 1), (1.2, 1.2)), (255, 255, 250))


def paint_eyeglasses(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """Spectacles, one in five with dark lenses."""
    if CelebAttr.EYEGLASSES not in face.has:
        return
    frame = ((28, 26, 30), (92, 54, 34), (150, 130, 84))[int(rng.integers(3))]
    dark_lenses = rng.random() < 0.2
    radii = (rng.uniform(13.5, 16), rng.uniform(10, 13.5))
    thick = rng.uniform(1.8, 3.0)
    for (x, y), out in zip(EYES, (-1, 1), strict=True):
        rim = ellipse((x, y + 1), radii)
        canvas.fill(
            rim, (24, 24, 30) if dark_lenses else (215, 228, 240), 0.9 if dark_lenses else 0.16
        )
        canvas.stroke(np.concatenate([rim, rim[:2]]), frame, thick)
        hinge = np.array(
            [[x + out * radii[0], y - 2.0], [CENTER_X + out * (face.half_width + 1), y - 3.0]]
        )
        canvas.stroke(hinge, frame, thick)
    bridge = curve(
        [(EYES[0][0] + radii[0], 111.0), (CENTER_X, 108.5), (EYES[1][0] - radii[0], 111.0)]
    )
    canvas.stroke(bridge, frame, thick)
