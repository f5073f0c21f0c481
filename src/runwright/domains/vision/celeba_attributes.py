"""The attributes that CelebA's authors labelled every face with."""

import enum
from typing import Final

# Words that mark an attribute as what a face is or does; all others are what it has.
_QUALITIES: Final = frozenset(
    ("Attractive", "Bald", "Blurry", "Chubby", "Hair", "Open", "Smiling", "Wearing", "Young")
)


class CelebAttr(enum.Enum):
    """The 40 binary attributes of CelebA; the values are the column names of its own files."""

    FIVE_O_CLOCK_SHADOW = "5_o_Clock_Shadow"
    ARCHED_EYEBROWS = "Arched_Eyebrows"
    ATTRACTIVE = "Attractive"
    BAGS_UNDER_EYES = "Bags_Under_Eyes"
    BALD = "Bald"
    BANGS = "Bangs"
    BIG_LIPS = "Big_Lips"
    BIG_NOSE = "Big_Nose"
    BLACK_HAIR = "Black_Hair"
    BLOND_HAIR = "Blond_Hair"
    BLURRY = "Blurry"
    BROWN_HAIR = "Brown_Hair"
    BUSHY_EYEBROWS = "Bushy_Eyebrows"
    CHUBBY = "Chubby"
    DOUBLE_CHIN = "Double_Chin"
    EYEGLASSES = "Eyeglasses"
    GOATEE = "Goatee"
    GRAY_HAIR = "Gray_Hair"
    HEAVY_MAKEUP = "Heavy_Makeup"
    HIGH_CHEEKBONES = "High_Cheekbones"
    MALE = "Male"
    MOUTH_SLIGHTLY_OPEN = "Mouth_Slightly_Open"
    MUSTACHE = "Mustache"
    NARROW_EYES = "Narrow_Eyes"
    NO_BEARD = "No_Beard"
    OVAL_FACE = "Oval_Face"
    PALE_SKIN = "Pale_Skin"
    POINTY_NOSE = "Pointy_Nose"
    RECEDING_HAIRLINE = "Receding_Hairline"
    ROSY_CHEEKS = "Rosy_Cheeks"
    SIDEBURNS = "Sideburns"
    SMILING = "Smiling"
    STRAIGHT_HAIR = "Straight_Hair"
    WAVY_HAIR = "Wavy_Hair"
    WEARING_EARRINGS = "Wearing_Earrings"
    WEARING_HAT = "Wearing_Hat"
    WEARING_LIPSTICK = "Wearing_Lipstick"
    WEARING_NECKLACE = "Wearing_Necklace"
    WEARING_NECKTIE = "Wearing_Necktie"
    YOUNG = "Young"

    # A shorter name for the most used one; Python makes it an alias of BLOND_HAIR.
    BLOND = "Blond_Hair"  # noqa: PIE796  # the alias is intended

    @property
    def names(self) -> tuple[str, str]:
        """The names of faces without and with the attribute: ("not smiling", "smiling")."""
        words = self.value.split("_")
        name = " ".join(words).lower().replace("o clock", "o'clock")
        if self is CelebAttr.MALE:
            return "female", name
        if self is CelebAttr.NO_BEARD:
            return "beard", name
        return f"{'not' if _QUALITIES & set(words) else 'no'} {name}", name
