"""Which attributes a cartoon face has: about as often, and with whom, as in CelebA."""

from typing import Final

import numpy as np

from runwright.domains.vision.celeba_attributes import CelebAttr

# Shares in CelebA's list_attr_celeba.txt.
_MALE: Final = 0.417
_BLOND: Final = 0.148

REAL_CORRELATION: Final = 0.86
"""The `correlation` at which 2 % of the men and 24 % of the women are blond, as in CelebA."""


def blond_shares(correlation: float) -> tuple[float, float]:
    """The share of blond among the men and among the women.

    Args:
        correlation: 0: as many of the men as of the women are blond; 1: no man is blond. The share
            of blond among all stays the same.
    """
    of_men = _BLOND * (1 - correlation)
    of_women = (_BLOND - _MALE * of_men) / (1 - _MALE)
    return of_men, of_women


def draw_attributes(rng: np.random.Generator, correlation: float) -> frozenset[CelebAttr]:
    """Draw the attributes that one face has.

    Args:
        rng: where the randomness comes from.
        correlation: see `blond_shares`.
    """
    has: set[CelebAttr] = set()

    def chance(attribute: CelebAttr, probability: float) -> bool:
        # Always one random number, so that the same face comes out for another correlation.
        if rng.random() < probability:
            has.add(attribute)
        return attribute in has

    male = chance(CelebAttr.MALE, _MALE)
    young = chance(CelebAttr.YOUNG, 0.65 if male else 0.86)
    _hair(has, rng, correlation)
    _beard(has, rng)

    smiling = chance(CelebAttr.SMILING, 0.40 if male else 0.54)
    chance(CelebAttr.MOUTH_SLIGHTLY_OPEN, 0.76 if smiling else 0.22)
    chance(CelebAttr.HIGH_CHEEKBONES, 0.83 if smiling else 0.11)

    lipstick = chance(CelebAttr.WEARING_LIPSTICK, 0.01 if male else 0.80)
    makeup = chance(CelebAttr.HEAVY_MAKEUP, 0.82 if lipstick else 0.01)
    chance(CelebAttr.ROSY_CHEEKS, 0.16 if makeup else 0.01)
    chance(CelebAttr.WEARING_EARRINGS, 0.02 if male else 0.31)
    chance(CelebAttr.WEARING_NECKLACE, 0.01 if male else 0.20)
    chance(CelebAttr.WEARING_NECKTIE, 0.17 if male else 0.003)
    chance(CelebAttr.EYEGLASSES, (0.12 if male else 0.02) * (0.8 if young else 1.7))

    chance(CelebAttr.ARCHED_EYEBROWS, 0.03 if male else 0.43)
    chance(CelebAttr.BUSHY_EYEBROWS, 0.25 if male else 0.07)
    chance(CelebAttr.BAGS_UNDER_EYES, 0.36 if male else 0.10)
    chance(CelebAttr.NARROW_EYES, 0.115)
    chance(CelebAttr.BIG_LIPS, 0.17 if male else 0.29)
    chance(CelebAttr.BIG_NOSE, 0.42 if male else 0.10)
    chance(CelebAttr.POINTY_NOSE, 0.0 if CelebAttr.BIG_NOSE in has else 0.36)
    chubby = chance(CelebAttr.CHUBBY, (0.11 if male else 0.02) * (0.6 if young else 2.0))
    chance(CelebAttr.DOUBLE_CHIN, 0.5 if chubby else 0.02)
    chance(CelebAttr.OVAL_FACE, 0.0 if chubby else 0.30)
    chance(CelebAttr.PALE_SKIN, 0.03 if male else 0.05)
    chance(CelebAttr.BLURRY, 0.05)
    # No feature of its own can be drawn: it goes with others, as in CelebA.
    chance(CelebAttr.ATTRACTIVE, 0.12 if not young else 0.75 if makeup else 0.45)
    return frozenset(has)


def _hair(has: set[CelebAttr], rng: np.random.Generator, correlation: float) -> None:
    """Hair: at most one colour and one structure; a bald head has neither."""
    male, young = CelebAttr.MALE in has, CelebAttr.YOUNG in has
    of_men, of_women = blond_shares(correlation)
    blond, bald, color, structure, bangs, receding, hat = rng.random(7)
    if blond < (of_men if male else of_women):
        has.add(CelebAttr.BLOND_HAIR)
    elif bald < (0.0 if not male else 0.03 if young else 0.10):
        has.add(CelebAttr.BALD)
        return
    elif color < (0.01 if young else 0.20):
        has.add(CelebAttr.GRAY_HAIR)
    elif color < 0.34:
        has.add(CelebAttr.BLACK_HAIR)
    elif color < 0.60:
        has.add(CelebAttr.BROWN_HAIR)
    # The others are red, sandy or dyed, for which CelebA has no name.
    if structure < (0.14 if male else 0.46):
        has.add(CelebAttr.WAVY_HAIR)
    elif structure < (0.38 if male else 0.65):
        has.add(CelebAttr.STRAIGHT_HAIR)
    if bangs < (0.08 if male else 0.20):
        has.add(CelebAttr.BANGS)
    elif receding < (0.16 if not young else 0.06):
        has.add(CelebAttr.RECEDING_HAIRLINE)
    if hat < (0.08 if male else 0.03):
        has.add(CelebAttr.WEARING_HAT)


def _beard(has: set[CelebAttr], rng: np.random.Generator) -> None:
    """A beard, of men only; a full beard has no name of its own."""
    bearded, shadow, goatee, mustache, sideburns = rng.random(5)
    if CelebAttr.MALE not in has or bearded > 0.40:
        has.add(CelebAttr.NO_BEARD)
        return
    if shadow < 0.66:
        has.add(CelebAttr.FIVE_O_CLOCK_SHADOW)
    if goatee < 0.38:
        has.add(CelebAttr.GOATEE)
    if mustache < 0.26:
        has.add(CelebAttr.MUSTACHE)
    if sideburns < 0.34:
        has.add(CelebAttr.SIDEBURNS)
