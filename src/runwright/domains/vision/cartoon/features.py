"""The colours and sizes of a face: what its attributes say, and much that they leave to chance."""

from typing import Final

import attrs
import numpy as np

from runwright.domains.vision.cartoon.canvas import CENTER_X, Color, Outline, blend, shade
from runwright.domains.vision.celeba_attributes import CelebAttr

# Where CelebA's alignment puts the eyes; nose and mouth follow from them.
EYES: Final = ((69.0, 111.0), (CENTER_X * 2 - 69.0, 111.0))
MOUTH_Y: Final = 154.0
HEAD_Y: Final = 112.0

_SKINS: Final[tuple[Color, ...]] = (
    (241, 204, 177),
    (229, 184, 150),
    (214, 163, 124),
    (188, 133, 94),
    (150, 101, 69),
    (108, 71, 49),
)
_SKIN_SHARES: Final = (0.27, 0.30, 0.19, 0.11, 0.08, 0.05)
_PALE: Final[Color] = (247, 228, 216)

_BLACK: Final[Color] = (33, 27, 27)
_BROWN: Final[Color] = (92, 58, 36)
_BLOND: Final[Color] = (214, 174, 104)
_GRAY: Final[Color] = (168, 167, 166)
# Red, sandy, chestnut, dyed: hair without a name in CelebA. Sandy hair under a warm light is as
# yellow as dark blond hair under a cold one: as in photographs, colour alone does not tell all.
_OTHER: Final[tuple[Color, ...]] = (
    (146, 66, 32),
    (166, 128, 82),
    (158, 112, 74),
    (120, 82, 52),
    (122, 40, 62),
)
_OTHER_SHARES: Final = (0.22, 0.28, 0.18, 0.26, 0.06)

_LIPSTICKS: Final[tuple[Color, ...]] = (
    (190, 24, 48),
    (214, 62, 104),
    (150, 28, 70),
    (206, 82, 82),
)
_IRISES: Final[tuple[Color, ...]] = ((74, 46, 28), (52, 34, 24), (70, 110, 150), (84, 116, 80))


@attrs.frozen(kw_only=True)
class Face:
    """One face.

    Attributes:
        has: its attributes.
        skin, hair, lips, iris: colours.
        half_width: from the middle to a cheek, in pixels; `chin` is the y of the chin.
        jaw: the exponent of the superellipse that is the lower face; 2 is an ellipse, more is
            squarer.
        smile: how far the corners of the mouth are raised, 0 … 1 and beyond.
        mouth_gap: how far the mouth is open, in pixels.
        eye_height: how far the eyes are open, in pixels.
        long_hair: whether the hair falls beside the face.
        part: where the hair is parted, in pixels from the middle.
        hairline: the y of the hairline.
    """

    has: frozenset[CelebAttr]
    skin: Color
    hair: Color
    lips: Color
    iris: Color
    half_width: float
    chin: float
    jaw: float
    smile: float
    mouth_gap: float
    eye_height: float
    long_hair: bool
    part: float
    hairline: float

    @property
    def bearded(self) -> bool:
        """Whether there is any beard."""
        return CelebAttr.NO_BEARD not in self.has

    def outline(self, grow: float = 0.0, start: float = 0.0, stop: float = 360.0) -> Outline:
        """The outline of the head between two angles (degrees, clockwise from the right ear)."""
        angle = np.radians(np.linspace(start, stop, max(12, round((stop - start) / 6))))
        cos, sin = np.cos(angle), np.sin(angle)
        below = sin > 0
        power = np.where(below, 2 / self.jaw, 1.0)
        height = np.where(below, self.chin - HEAD_Y, 51.0) + grow
        x = CENTER_X + (self.half_width + grow) * np.sign(cos) * np.abs(cos) ** power
        y = HEAD_Y + height * np.sign(sin) * np.abs(sin) ** power
        return np.stack([x, y], axis=1)


def draw_features(has: frozenset[CelebAttr], rng: np.random.Generator) -> Face:
    """Draw the colours and sizes of a face that has these attributes."""
    male = CelebAttr.MALE in has
    skin = _skin(has, rng)
    half_width = rng.normal(45.0 if male else 42.5, 1.2)
    chin = rng.normal(179.0 if male else 175.0, 1.5)
    jaw = rng.normal(2.65 if male else 2.15, 0.12)
    if CelebAttr.CHUBBY in has:
        half_width, jaw = half_width + 6, jaw + 0.35
    if CelebAttr.OVAL_FACE in has:
        half_width, chin, jaw = half_width - 2.5, chin + 3, min(jaw, 2.05)

    # The two kinds of mouth come close to each other, but do not overlap by much.
    smile = rng.normal(0.9, 0.22) if CelebAttr.SMILING in has else rng.normal(-0.15, 0.2)
    gap = rng.uniform(3.5, 9.0)
    is_open = CelebAttr.MOUTH_SLIGHTLY_OPEN in has
    eye_height = rng.normal(2.3, 0.2) if CelebAttr.NARROW_EYES in has else rng.normal(4.5, 0.4)
    length = rng.random()
    receding = CelebAttr.RECEDING_HAIRLINE in has
    return Face(
        has=has,
        skin=skin,
        hair=_hair_color(has, rng),
        lips=_lip_color(has, skin, rng),
        iris=_choose(_IRISES, rng),
        half_width=half_width,
        chin=chin,
        jaw=max(1.9, jaw),
        smile=smile,
        mouth_gap=gap if is_open else 0.0,
        eye_height=eye_height - max(0.0, smile) * 0.5,
        long_hair=CelebAttr.BALD not in has and length < (0.05 if male else 0.88),
        part=float(rng.choice([-1, 1]) * rng.uniform(3, 20)),
        hairline=rng.normal(66.0, 1.0) if receding else rng.normal(81.0, 2.0),
    )


def _skin(has: frozenset[CelebAttr], rng: np.random.Generator) -> Color:
    tone = _choose(_SKINS, rng, _SKIN_SHARES)
    if CelebAttr.PALE_SKIN in has:
        tone = _PALE
    return shade(tone, rng.normal(1.0, 0.03))


def _hair_color(has: frozenset[CelebAttr], rng: np.random.Generator) -> Color:
    other = _choose(_OTHER, rng, _OTHER_SHARES)
    lightness, mix = rng.random(), rng.uniform(0, 0.25)
    if CelebAttr.BLACK_HAIR in has:
        return shade(_BLACK, 0.6 + 0.9 * lightness)
    if CelebAttr.BROWN_HAIR in has:
        return shade(blend(_BROWN, (130, 74, 44), mix), 0.75 + 0.65 * lightness)
    if CelebAttr.BLOND_HAIR in has:
        return shade(blend(_BLOND, (206, 168, 128), mix * 2), 0.84 + 0.30 * lightness)
    if CelebAttr.GRAY_HAIR in has:
        return shade(_GRAY, 0.8 + 0.45 * lightness)
    return shade(other, 0.85 + 0.30 * lightness)


def _lip_color(has: frozenset[CelebAttr], skin: Color, rng: np.random.Generator) -> Color:
    lipstick = _choose(_LIPSTICKS, rng)
    if CelebAttr.WEARING_LIPSTICK in has:
        return shade(lipstick, rng.uniform(0.85, 1.1))
    return blend(shade(skin, 0.86), (176, 88, 84), rng.uniform(0.25, 0.5))


def _choose(
    colors: tuple[Color, ...], rng: np.random.Generator, shares: tuple[float, ...] | None = None
) -> Color:
    return colors[int(rng.choice(len(colors), p=shares))]
