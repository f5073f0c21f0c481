"""Cartoon faces with some of CelebA's attributes."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from runwright.domains.vision.celeba_attributes import CelebAttr

HAIR: Final = {
    CelebAttr.BLOND_HAIR: (226, 190, 110),
    CelebAttr.GRAY_HAIR: (165, 165, 168),
    CelebAttr.BLACK_HAIR: (28, 24, 24),
    CelebAttr.BROWN_HAIR: (92, 60, 38),
}
_RED_HAIR: Final = (150, 72, 40)  # CelebA has no name for it
_WIDTH, _HEIGHT, _OVERSAMPLING, _PEN = 178, 218, 2, 4


def draw_face(has: frozenset[CelebAttr], rng: np.random.Generator) -> Image.Image:
    """Draw a face with these attributes, 178×218 pixels; everything else is up to `rng`."""
    face = _Face(has, rng)
    face.draw_hair_and_clothes()
    face.draw_head()
    face.draw_eyes()
    face.draw_nose_and_mouth()
    photo = np.asarray(face.image.reduce(_OVERSAMPLING), np.float32) * rng.uniform(0.75, 1.1)
    photo += rng.standard_normal(photo.shape, np.float32) * np.float32(rng.uniform(2, 8))
    return Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8))


class _Face:
    """A picture being drawn; coordinates are pixels from the midpoint between the eyes."""

    def __init__(self, has: frozenset[CelebAttr], rng: np.random.Generator) -> None:
        self.has, self.rng = has, rng
        wall = np.clip(rng.uniform(40, 220, 3) + rng.normal(0, 18, (4, 3, 3)), 0, 255)
        size = (_WIDTH * _OVERSAMPLING, _HEIGHT * _OVERSAMPLING)
        self.image = Image.fromarray(wall.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        self.draw = ImageDraw.Draw(self.image)
        self.center = np.array([89.0, 112.0]) + rng.normal(0, 1.2, 2)
        self.male = CelebAttr.MALE in has
        self.jaw = float(rng.normal(41 if self.male else 37, 1.5))
        self.skin = self.color(np.array([95, 60, 45]) + 160 * rng.beta(2, 1.5), spread=5)
        self.shade = self.color(0.5 * np.array(self.skin), spread=0)
        self.hair = self.color(next((HAIR[a] for a in HAIR if a in has), _RED_HAIR))

    def at(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x, y) for x, y in (_OVERSAMPLING * (self.center + np.array(points))).tolist()]

    def oval(self, x: float, y: float, rx: float, ry: float) -> list[tuple[float, float]]:
        return self.at((x - rx, y - ry), (x + rx, y + ry))

    def color(self, rgb: ArrayLike, spread: float = 12) -> tuple[int, int, int]:
        varied = np.clip(np.asarray(rgb) + self.rng.normal(0, spread, 3), 0, 255)
        red, green, blue = varied.astype(int).tolist()
        return red, green, blue

    def draw_hair_and_clothes(self) -> None:
        clothes = self.color(self.rng.uniform(20, 220, 3))
        if not self.male:  # long hair falls on the shoulders
            self.draw.rounded_rectangle(self.at((-56, -62), (56, 85)), 100, fill=self.hair)
        self.draw.ellipse(self.oval(0, 125, 80, 52), fill=clothes)
        self.draw.polygon(self.at((-22, 45), (22, 45), (24, 75), (0, 92), (-24, 75)), self.shade)
        self.draw.ellipse(self.oval(0, -18, self.jaw + 10, 54), fill=self.hair)

    def draw_head(self) -> None:
        draw, jaw = self.draw, self.jaw
        for x in (-jaw, jaw):
            draw.ellipse(self.oval(x, 6, 7, 11), fill=self.shade)
        draw.ellipse(self.oval(0, 8, jaw, 62), fill=self.skin)
        if self.male:
            draw.rounded_rectangle(self.at((3 - jaw, 10), (jaw - 3, 66)), 50, fill=self.skin)
        if CelebAttr.NO_BEARD not in self.has:
            draw.chord(self.oval(0, 30, jaw - 1, 42), 0, 180, fill=self.hair)
            draw.ellipse(self.oval(0, 34, jaw - 10, 17), fill=self.skin)
        for y in () if CelebAttr.YOUNG in self.has else (-34, -28):
            draw.line(self.at((-18, y), (18, y)), fill=self.shade, width=_PEN // 2)
        draw.chord(self.oval(0, -18, jaw + 4, 52), 218, 322, fill=self.hair)
        if CelebAttr.WEARING_HAT in self.has:
            hat = self.color(self.rng.uniform(20, 220, 3))
            draw.chord(self.oval(0, -35, jaw + 12, 55), 180, 360, fill=hat)
            draw.rectangle(self.at((-jaw - 22, -38), (jaw + 22, -32)), fill=hat)

    def draw_eyes(self) -> None:
        draw, black = self.draw, (25, 25, 25)
        for x in (-19.5, 19.5):
            draw.ellipse(self.oval(x, 0, 9, 5), fill=(240, 240, 240))
            draw.ellipse(self.oval(x, 0, 4, 4.5), fill=(50, 40, 35))
            draw.line(self.at((x - 10, -12), (x, -15), (x + 10, -12)), self.shade, width=_PEN)
            if CelebAttr.EYEGLASSES in self.has:
                draw.ellipse(self.oval(x, 0, 16, 13), outline=black, width=_PEN)
                draw.line(self.at((-4, 0), (4, 0)), fill=black, width=_PEN)

    def draw_nose_and_mouth(self) -> None:
        self.draw.chord(self.oval(0, 20, 7, 7), 0, 180, fill=self.shade)  # the nose
        smiling = CelebAttr.SMILING in self.has
        bend = self.rng.normal(9 if smiling else -1, 1.5)
        width = self.rng.normal(20 if smiling else 14, 1.5)
        gap = self.rng.uniform(5, 9) if CelebAttr.MOUTH_SLIGHTLY_OPEN in self.has else 0
        across = np.linspace(-1, 1, 15)
        upper = self.at(*zip(width * across, 41 - bend * across**2, strict=True))
        lower = self.at(*zip(width * across, 41 + gap - (bend + gap) * across**2, strict=True))
        self.draw.polygon([*upper, *reversed(lower)], fill=(245, 240, 235))
        lips = (185, 25, 55) if CelebAttr.WEARING_LIPSTICK in self.has else self.shade
        for lip in (upper, lower):
            self.draw.line(lip, fill=lips, width=_PEN * 3 // 2, joint="curve")
