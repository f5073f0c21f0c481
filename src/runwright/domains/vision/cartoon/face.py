"""The parts of a face, from the ears to the mouth."""

from typing import Final

import numpy as np

from runwright.domains.vision.cartoon.canvas import (
    CENTER_X,
    Canvas,
    Color,
    blend,
    curve,
    ellipse,
    mirrored,
    shade,
)
from runwright.domains.vision.cartoon.features import EYES, MOUTH_Y, Face
from runwright.domains.vision.celeba_attributes import CelebAttr

_DARK: Final[Color] = (38, 26, 24)
_EYE_SHADOWS: Final[tuple[Color, ...]] = ((94, 62, 104), (60, 70, 110), (110, 72, 60), (50, 46, 52))


def paint_head(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """Ears, the skin of the face, and the shading that gives it form."""
    has = face.has
    for side in (-1, 1):
        ear = ellipse((CENTER_X + side * (face.half_width + 1.5), 118.0), (6.5, 12))
        canvas.fill(ear, shade(face.skin, 0.92))
        inner = ellipse((CENTER_X + side * (face.half_width + 2), 118.0), (3, 7))
        canvas.fill(inner, shade(face.skin, 0.78))
    if CelebAttr.DOUBLE_CHIN in has:
        canvas.fill(ellipse((CENTER_X, face.chin - 4), (30, 16)), shade(face.skin, 0.93))
        fold = ellipse((CENTER_X, face.chin - 4), (30, 16), 20, 160)
        canvas.stroke(fold, shade(face.skin, 0.66), 1.8)
    canvas.fill(face.outline(), face.skin)
    canvas.stroke(face.outline(0, 5, 175), shade(face.skin, 0.78), 1.4, 0.8)
    canvas.glow((CENTER_X, 92.0), (26, 14), shade(face.skin, 1.10), rng.uniform(0.2, 0.7))
    for side in (-1, 1):
        canvas.glow((CENTER_X + side * 26, 134.0), (15, 13), shade(face.skin, 1.06), 0.5)
        if CelebAttr.HIGH_CHEEKBONES in has:
            canvas.glow((CENTER_X + side * 28, 127.0), (11, 6), shade(face.skin, 1.25), 0.55)
            hollow = curve(
                [
                    (CENTER_X + side * 40, 132.0),
                    (CENTER_X + side * 32, 141.0),
                    (CENTER_X + side * 25, 145.0),
                ]
            )
            canvas.stroke(hollow, shade(face.skin, 0.70), 2.8, 0.5)
        if CelebAttr.ROSY_CHEEKS in has:
            canvas.glow((CENTER_X + side * 27, 137.0), (13, 10), (232, 84, 92), 0.5)


def paint_age(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """Bags under the eyes, and the lines of a face that is not young."""
    line = shade(face.skin, 0.68)
    if CelebAttr.BAGS_UNDER_EYES in face.has:
        for x, y in EYES:
            canvas.glow((x, y + 8.5), (9, 3.5), shade(face.skin, 0.62), 0.55)
            canvas.stroke(ellipse((x, y + 5), (9, 7), 25, 155), line, 1.3, 0.9)
    if CelebAttr.YOUNG in face.has:
        return
    for level in range(3):
        y = 88.0 + 5 * level + rng.normal(0, 0.6)
        furrow = curve(
            [
                (CENTER_X - 22, y + 1),
                (CENTER_X - 8, y - 1),
                (CENTER_X + 8, y),
                (CENTER_X + 22, y + 1),
            ]
        )
        canvas.stroke(furrow, line, 1.3, 0.75)
    for side in (-1, 1):
        for dy in (-3.0, 0.5, 4.0):
            start = CENTER_X + side * 31.5
            foot = curve(
                [
                    (start, 111 + dy * 0.5),
                    (start + side * 4, 111 + dy),
                    (start + side * 8, 111 + dy * 1.6),
                ]
            )
            canvas.stroke(foot, line, 1.0, 0.8)


def paint_eyes(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """Eyes with their lids, and eyebrows."""
    has = face.has
    makeup = CelebAttr.HEAVY_MAKEUP in has
    shadow = _EYE_SHADOWS[int(rng.integers(len(_EYE_SHADOWS)))]
    gaze, height = rng.normal(0, 0.9), face.eye_height
    for (x, y), out in zip(EYES, (-1, 1), strict=True):
        if makeup:
            canvas.glow((x + out, y - 4.5), (13, 7.5), shadow, 0.75)
        upper = curve(
            [(x - 9.5, y + 1), (x - 4, y - height), (x + 4, y - height), (x + 9.5, y + 1)]
        )
        lower = curve(
            [
                (x + 9.5, y + 1),
                (x + 3, y + height * 0.7),
                (x - 3, y + height * 0.7),
                (x - 9.5, y + 1),
            ]
        )
        canvas.fill(np.concatenate([upper, lower]), (246, 244, 242))
        radius = min(4.4, height)
        canvas.fill(ellipse((x + gaze, y - 0.4), (4.4, radius)), face.iris)
        canvas.fill(ellipse((x + gaze, y - 0.4), (2.1, min(2.1, radius))), (12, 10, 10))
        canvas.fill(
            ellipse((x + gaze + 1.4, y - 1.8), (1.0, min(1.0, radius / 2))), (255, 255, 255)
        )
        lid = _DARK if makeup or CelebAttr.MALE not in has else shade(face.skin, 0.45)
        canvas.stroke(upper, lid, 2.6 if makeup else 1.5)
        canvas.stroke(lower, shade(face.skin, 0.6), 0.9, 0.8)
        if makeup:
            lash = curve([(x + out * 8, y - 1), (x + out * 12, y - 4), (x + out * 14, y - 6.5)])
            canvas.stroke(lash, _DARK, 1.8)
        _paint_eyebrow(canvas, face, x, out)


def _paint_eyebrow(canvas: Canvas, face: Face, x: float, out: int) -> None:
    has = face.has
    bushy = CelebAttr.BUSHY_EYEBROWS in has
    thick = 6.2 if bushy else 3.4 if CelebAttr.MALE in has else 2.3
    arch = 6.0 if CelebAttr.ARCHED_EYEBROWS in has else 1.5
    base = 99.0
    inner, peak, outer = x - out * 11, x + out * 4, x + out * 13
    top = curve([(inner, base - thick / 2), (peak, base - arch - thick / 2), (outer, base + 2)])
    bottom = curve(
        [(outer, base + 2.5), (peak, base - arch + thick / 2), (inner, base + thick / 2)]
    )
    canvas.fill(
        np.concatenate([top, bottom]), blend(shade(face.hair, 0.62), (44, 30, 24), 0.3), 0.95
    )


def paint_nose(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """The nose: shaded on the side that is turned from the light."""
    has = face.has
    big, pointy = CelebAttr.BIG_NOSE in has, CelebAttr.POINTY_NOSE in has
    wide = 13.5 if big else 6.5 if pointy else 9.0
    tip = 143.5 if pointy else 140.0
    side = rng.choice([-1, 1])
    dark, light = shade(face.skin, 0.70), shade(face.skin, 1.14)
    canvas.glow((CENTER_X, 130.0), (3.5 if not big else 6.0, 13), light, 0.6)
    canvas.glow((CENTER_X, tip - 5), (wide * 0.55, 5), light, 0.5)
    bridge = curve(
        [
            (CENTER_X + side * 5, 113.0),
            (CENTER_X + side * 4, 126.0),
            (CENTER_X + side * wide * 0.8, tip - 6),
        ]
    )
    canvas.stroke(bridge, dark, 1.6, 0.7)
    if pointy:
        base = curve(
            [(CENTER_X - wide, tip - 5), (CENTER_X, tip + 1), (CENTER_X + wide, tip - 5)], 4
        )
    else:
        base = curve(
            [
                (CENTER_X - wide, tip - 6),
                (CENTER_X - wide * 0.85, tip - 1),
                (CENTER_X - wide * 0.3, tip),
                (CENTER_X, tip + 1.5),
                (CENTER_X + wide * 0.3, tip),
                (CENTER_X + wide * 0.85, tip - 1),
                (CENTER_X + wide, tip - 6),
            ]
        )
    canvas.stroke(base, dark, 1.9)
    for half in (-1, 1):
        nostril = ellipse((CENTER_X + half * wide * 0.45, tip - 1.5), (wide * 0.2, 1.5))
        canvas.fill(nostril, shade(face.skin, 0.42))


def mouth_half_width(face: Face) -> float:
    """From the middle of the mouth to a corner, in pixels."""
    return 15.5 + 5.5 * max(0.0, face.smile)


def paint_mouth(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """Lips, teeth, and the folds that a smile makes."""
    has = face.has
    smile, gap = face.smile, face.mouth_gap
    half = mouth_half_width(face)
    full = 7.2 if CelebAttr.BIG_LIPS in has else 4.0
    corner = MOUTH_Y - 6.5 * smile
    middle = MOUTH_Y + 2.5 * smile

    skew = rng.normal(0, 0.6)
    left, right = (CENTER_X - half, corner - skew), (CENTER_X + half, corner + skew)
    upper_edge = curve(
        [
            left,
            (CENTER_X - 5, middle - full * 0.95),
            (CENTER_X, middle - full * 0.7),
            (CENTER_X + 5, middle - full * 0.95),
            right,
        ]
    )
    upper_inner = curve([right, (CENTER_X, middle), left])
    lower_inner = curve([left, (CENTER_X, middle + gap), right])
    lower_edge = curve([right, (CENTER_X, middle + gap + full * 1.2), left])
    if gap:
        canvas.fill(np.concatenate([lower_inner, upper_inner]), (64, 16, 20))
        teeth = curve([left, (CENTER_X, middle + min(gap, 4.5)), right])
        canvas.fill(np.concatenate([teeth, upper_inner]), (244, 242, 234))
    canvas.fill(np.concatenate([upper_edge, upper_inner]), shade(face.lips, 0.88))
    canvas.fill(np.concatenate([lower_inner, lower_edge]), face.lips)
    canvas.glow((CENTER_X, middle + gap + full * 0.6), (6, full * 0.3), shade(face.lips, 1.35), 0.5)
    if not gap:
        canvas.stroke(lower_inner, shade(face.lips, 0.5), 1.4)
    crease = smile > 0.45 or CelebAttr.YOUNG not in has
    if crease:
        deep = 0.8 if CelebAttr.YOUNG not in has else 0.5
        fold = curve(
            [
                (CENTER_X - 12, 138.0),
                (CENTER_X - half - 2, 146.0),
                (CENTER_X - half - 4, corner + 2),
            ]
        )
        canvas.stroke(fold, shade(face.skin, 0.68), 1.4, deep)
        canvas.stroke(mirrored(fold), shade(face.skin, 0.68), 1.4, deep)
