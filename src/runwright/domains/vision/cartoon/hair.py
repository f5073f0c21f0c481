"""Hair, beards and hats."""

from typing import Final

import numpy as np

from runwright.domains.vision.cartoon.canvas import (
    CENTER_X,
    Canvas,
    Color,
    Outline,
    blend,
    curve,
    ellipse,
    mirrored,
    shade,
)
from runwright.domains.vision.cartoon.features import Face
from runwright.domains.vision.celeba_attributes import CelebAttr

_HATS: Final[tuple[Color, ...]] = (
    (52, 52, 60),
    (124, 40, 44),
    (44, 70, 118),
    (196, 186, 164),
    (92, 104, 70),
    (208, 172, 60),
)


def paint_back_hair(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """The hair behind the head; what falls on the shoulders."""
    if not face.long_hair:
        return
    length = rng.uniform(178, 222)
    width = face.half_width + rng.uniform(12, 20)
    left = curve(
        [
            (CENTER_X, 50.0),
            (CENTER_X - face.half_width * 0.8, 62.0),
            (CENTER_X - face.half_width - 10, 100.0),
            (CENTER_X - width, 150.0),
            (CENTER_X - width + 2, length),
        ],
        per_segment=16,
    )
    left = _waves(left, face, rng)
    outline = np.concatenate([left, mirrored(_waves(left, face, rng))])
    canvas.fill(outline, shade(face.hair, 0.78))
    for _ in range(14):
        side = rng.choice([-1, 1])
        x = CENTER_X + side * rng.uniform(face.half_width - 6, width - 4)
        strand = curve([(x - side * 6, 96.0), (x, 140.0), (x, length - 6)])
        color = shade(face.hair, rng.uniform(0.65, 1.05))
        canvas.stroke(_waves(strand, face, rng), color, 2.0, 0.6)


def paint_front_hair(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """The hair on the head, its fringe and sideburns."""
    has = face.has
    if CelebAttr.BALD in has:
        _paint_bald_head(canvas, face, rng)
    else:
        _paint_cap(canvas, face, rng)
        if CelebAttr.BANGS in has:
            _paint_bangs(canvas, face, rng)
    if CelebAttr.SIDEBURNS in has:
        x, color = CENTER_X - face.half_width, shade(_beard_color(face), 0.95)
        strip = curve(
            [(x - 2, 100.0), (x - 2, 124.0), (x + 1, 144.0), (x + 9, 141.0), (x + 5, 102.0)]
        )
        canvas.fill(strip, color, 0.92)
        canvas.fill(mirrored(strip), color, 0.92)


def _paint_bald_head(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    canvas.glow((CENTER_X - 12, 74.0), (18, 10), (255, 250, 245), 0.35)
    if rng.random() < 0.5:
        x = CENTER_X - face.half_width
        fringe = curve(
            [(x + 1, 90.0), (x - 4, 104.0), (x - 3, 122.0), (x + 4, 116.0), (x + 5, 98.0)]
        )
        canvas.fill(fringe, blend(face.hair, face.skin, 0.25))
        canvas.fill(mirrored(fringe), blend(face.hair, face.skin, 0.25))


def _paint_cap(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """The hair from the hairline over the top of the head, and beside the face if it is long."""
    thickness = rng.uniform(7, 13) if face.long_hair else rng.uniform(4, 11)
    half = face.half_width
    receding = CelebAttr.RECEDING_HAIRLINE in face.has
    top = face.outline(thickness, 186, 354)
    temple = 70.0 if receding else 92.0
    middle = face.hairline + (6 if receding else 0)
    line = [
        (CENTER_X + half - 1, 118.0 if not face.long_hair else 124.0),
        (CENTER_X + half - 4, 102.0),
        (CENTER_X + half * 0.66, temple),
        (CENTER_X + face.part, middle),
        (CENTER_X - half * 0.66, temple),
        (CENTER_X - half + 4, 102.0),
        (CENTER_X - half + 1, 118.0 if not face.long_hair else 124.0),
    ]
    canvas.fill(np.concatenate([top, curve(line)]), face.hair)
    if face.long_hair:
        bottom = rng.uniform(160, 215)
        lock = curve(
            [
                (CENTER_X - half * 0.8, 80.0),
                (CENTER_X - half - 8, 100.0),
                (CENTER_X - half - 13, 140.0),
                (CENTER_X - half - 12, bottom),
                (CENTER_X - half + 1, bottom - 4),
                (CENTER_X - half + 2, 150.0),
                (CENTER_X - half + 3, 118.0),
                (CENTER_X - half * 0.72, 92.0),
            ],
            per_segment=16,
        )
        canvas.fill(_waves(lock, face, rng), face.hair)
        canvas.fill(mirrored(_waves(lock, face, rng)), face.hair)
    _paint_strands(canvas, face, top, curve(line)[::-1], rng)


def _paint_strands(
    canvas: Canvas, face: Face, top: Outline, line: Outline, rng: np.random.Generator
) -> None:
    """Strokes from the top of the head to the hairline, lighter and darker than the hair."""
    for _ in range(22):
        at = rng.uniform(0.03, 0.97)
        start = top[round(at * (len(top) - 1))]
        stop = line[round(at * (len(line) - 1))]
        bend = (start + stop) / 2 + rng.normal(0, 2.0, 2)
        inset = start + (stop - start) * 0.12
        strand = curve([tuple(inset), tuple(bend), tuple(stop + (start - stop) * 0.1)])
        canvas.stroke(strand, shade(face.hair, rng.uniform(0.7, 1.3)), 1.4, 0.5)


def _paint_bangs(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    half = face.half_width
    xs = np.linspace(CENTER_X - half * 0.86, CENTER_X + half * 0.86, 12)
    ys = 98.0 + rng.normal(0, 1.8, len(xs)) + 5 * np.abs(np.linspace(-1, 1, len(xs))) ** 2
    ys += np.where(np.arange(len(xs)) % 2, 2.2, -2.2)
    fringe = np.stack([xs, ys], axis=1)
    over = ellipse((CENTER_X, 96.0), (half * 0.9, 34), 345, 195)
    canvas.fill(np.concatenate([fringe, over]), shade(face.hair, 1.03))
    for x, y in fringe:
        strand = curve([(CENTER_X + (x - CENTER_X) * 0.75, 68.0), (x, y - 14), (x, y - 1)])
        canvas.stroke(strand, shade(face.hair, rng.uniform(0.7, 1.25)), 1.5, 0.6)


def _waves(line: Outline, face: Face, rng: np.random.Generator) -> Outline:
    """The line with waves: large ones if the hair is wavy, small ones unless it is straight."""
    if CelebAttr.STRAIGHT_HAIR in face.has:
        return line
    amplitude = 4.0 if CelebAttr.WAVY_HAIR in face.has else 1.0
    phase = rng.uniform(0, 2 * np.pi)
    fading = np.clip((line[:, 1] - 70) / 40, 0, 1)
    x = line[:, 0] + amplitude * fading * np.sin(line[:, 1] * 2 * np.pi / 30 + phase)
    return np.stack([x, line[:, 1]], axis=1)


def paint_beard(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """Everything that grows on the lower face; painted before the mouth."""
    if not face.bearded:
        return
    has = face.has
    color = _beard_color(face)
    jaw = np.concatenate(
        [
            face.outline(0.5, 8, 172),
            curve(
                [
                    (CENTER_X - face.half_width * 0.86, 136.0),
                    (CENTER_X - 24, 150.0),
                    (CENTER_X - 14, 144.0),
                    (CENTER_X, 146.0),
                    (CENTER_X + 14, 144.0),
                    (CENTER_X + 24, 150.0),
                    (CENTER_X + face.half_width * 0.86, 136.0),
                ]
            ),
        ]
    )
    unnamed = not has & {CelebAttr.FIVE_O_CLOCK_SHADOW, CelebAttr.GOATEE, CelebAttr.MUSTACHE}
    if CelebAttr.FIVE_O_CLOCK_SHADOW in has:
        canvas.fill(jaw, blend(color, (70, 74, 84), 0.6), 0.34)
    elif unnamed and CelebAttr.SIDEBURNS not in has:
        canvas.fill(jaw, color, 0.85)
    if CelebAttr.GOATEE in has:
        chin = ellipse((CENTER_X, face.chin - 9), (14, 11))
        canvas.fill(chin, color, 0.9)
        for side in (-1, 1):
            strip = curve(
                [
                    (CENTER_X + side * 21, 148.0),
                    (CENTER_X + side * 20, 160.0),
                    (CENTER_X + side * 12, 170.0),
                ]
            )
            canvas.stroke(strip, color, 4.0, 0.85)
    if CelebAttr.MUSTACHE in has:
        drop = rng.uniform(0, 4)
        half = curve(
            [
                (CENTER_X, 143.0),
                (CENTER_X - 12, 144.0),
                (CENTER_X - 22, 151.0 + drop),
                (CENTER_X - 10, 150.5),
                (CENTER_X, 149.0),
            ]
        )
        canvas.fill(half, color, 0.95)
        canvas.fill(mirrored(half), color, 0.95)


def _beard_color(face: Face) -> Color:
    return shade(blend(face.hair, (60, 40, 28), 0.25), 0.85)


def paint_hat(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """A cap, a woollen hat or a hat with a brim."""
    if CelebAttr.WEARING_HAT not in face.has:
        return
    color = shade(_HATS[int(rng.integers(len(_HATS)))], rng.uniform(0.85, 1.15))
    half, rim = face.half_width, rng.uniform(80, 88)
    crown = np.concatenate(
        [
            face.outline(rng.uniform(9, 16), 200, 340),
            np.array([[CENTER_X + half + 8, rim], [CENTER_X - half - 8, rim]]),
        ]
    )
    canvas.fill(crown, color)
    match int(rng.integers(3)):
        case 0:  # a peaked cap
            peak = ellipse((CENTER_X, rim), (half + 4, 9), 0, 180)
            canvas.fill(peak, shade(color, 0.7))
            canvas.stroke(curve([(CENTER_X, 52.0), (CENTER_X, rim - 2)]), shade(color, 0.8), 1.5)
        case 1:  # wool
            band = np.array(
                [
                    [CENTER_X - half - 9, rim - 9],
                    [CENTER_X + half + 9, rim - 9],
                    [CENTER_X + half + 8, rim + 4],
                    [CENTER_X - half - 8, rim + 4],
                ]
            )
            canvas.fill(band, shade(color, 1.2))
            for x in np.linspace(-half - 4, half + 4, 14):
                rib = np.array([[CENTER_X + x, rim - 8], [CENTER_X + x, rim + 3]])
                canvas.stroke(rib, shade(color, 0.8), 1.2)
        case _:  # a brim all around
            canvas.fill(ellipse((CENTER_X, rim), (half + 30, 8)), shade(color, 0.85))
            ribbon = np.array(
                [
                    [CENTER_X - half - 7, rim - 14],
                    [CENTER_X + half + 7, rim - 14],
                    [CENTER_X + half + 8, rim - 5],
                    [CENTER_X - half - 8, rim - 5],
                ]
            )
            canvas.fill(ribbon, shade(color, 0.5))
