"""The whole picture: background, bust, head, and what a camera makes of them."""

from typing import Final

import attrs
import numpy as np
from PIL import Image, ImageFilter

from runwright.domains.vision.cartoon.canvas import CENTER_X, HEIGHT, OVERSAMPLING, WIDTH, Canvas
from runwright.domains.vision.cartoon.clothes import paint_bust, paint_earrings, paint_eyeglasses
from runwright.domains.vision.cartoon.face import (
    mouth_half_width,
    paint_age,
    paint_eyes,
    paint_head,
    paint_mouth,
    paint_nose,
)
from runwright.domains.vision.cartoon.features import EYES, MOUTH_Y, draw_features
from runwright.domains.vision.cartoon.hair import (
    paint_back_hair,
    paint_beard,
    paint_front_hair,
    paint_hat,
)
from runwright.domains.vision.celeba_attributes import CelebAttr

_FROM_BACK_TO_FRONT: Final = (
    paint_back_hair,
    paint_bust,
    paint_head,
    paint_age,
    paint_beard,
    paint_eyes,
    paint_nose,
    paint_mouth,
    paint_front_hair,
    paint_hat,
    paint_earrings,
    paint_eyeglasses,
)


@attrs.frozen(kw_only=True)
class Portrait:
    """A picture of one face.

    Attributes:
        image: 178×218 pixels, RGB.
        landmarks: x and y of the left eye, the right eye, the nose, the left and the right corner
            of the mouth, as they appear in the picture.
        box: x, y, width and height of the face.
    """

    image: Image.Image
    landmarks: tuple[int, ...]
    box: tuple[int, int, int, int]


def draw_portrait(has: frozenset[CelebAttr], rng: np.random.Generator) -> Portrait:
    """Draw a face that has these attributes; all else is left to `rng`.

    Every part has a random stream of its own, so that with the same `rng` and another attribute
    the same face comes out, but for this attribute.
    """
    of_face, of_camera, *of_parts = rng.spawn(2 + len(_FROM_BACK_TO_FRONT))
    face = draw_features(has, of_face)
    canvas = Canvas(
        _background(of_camera),
        # CelebA's faces are aligned by their eyes; heads still nod and turn.
        tilt=of_camera.normal(0, 2.0),
        scale=of_camera.uniform(0.95, 1.05),
        shift=(of_camera.normal(0, 1.4), of_camera.normal(0, 1.4)),
    )
    for paint, stream in zip(_FROM_BACK_TO_FRONT, of_parts, strict=True):
        paint(canvas, face, stream)

    half = mouth_half_width(face)
    points = [*EYES, (CENTER_X, 138.0), (CENTER_X - half, MOUTH_Y), (CENTER_X + half, MOUTH_Y)]
    landmarks = canvas.place(np.array(points)).round().astype(int).ravel().tolist()
    outline = canvas.place(face.outline()).round().astype(int)
    (left, top), (right, bottom) = outline.min(axis=0).tolist(), outline.max(axis=0).tolist()
    return Portrait(
        image=_photograph(canvas.image, blurred=CelebAttr.BLURRY in has, rng=of_camera),
        landmarks=tuple(landmarks),
        box=(left, top, right - left, bottom - top),
    )


def _background(rng: np.random.Generator) -> Image.Image:
    """Soft patches of colour, as a wall or a crowd out of focus."""
    size = (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING)
    rows, columns = int(rng.integers(2, 7)), int(rng.integers(2, 6))
    tone = rng.uniform(25, 235) + rng.normal(0, 28, 3)
    spread = rng.choice([6, 18, 40])
    light = rng.normal(0, 1.5 * spread, (rows, columns, 1))
    hue = rng.normal(0, 0.5 * spread, (rows, columns, 3))
    patches = np.clip(tone + light + hue, 0, 255).astype(np.uint8)
    return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)


def _photograph(painted: Image.Image, *, blurred: bool, rng: np.random.Generator) -> Image.Image:
    """Light from one side, the colour cast of the light, the lens and the sensor's noise."""
    image = painted.reduce(OVERSAMPLING)
    blur = rng.uniform(1.8, 3.0)
    if blurred:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(image, dtype=np.float32)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.28)
    across = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :] * np.float32(np.cos(angle))
    down = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    light = rng.uniform(0.76, 1.12) * (1 + strength * (across + down))
    warmth = rng.normal(0, 0.07)
    cast = np.array([1 + warmth, 1 + rng.normal(0, 0.02), 1 - 1.4 * warmth], dtype=np.float32)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(rng.uniform(1, 7))
    pixels = pixels * light[:, :, None].astype(np.float32) * cast + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
