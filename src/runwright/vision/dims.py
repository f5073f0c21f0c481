"""What is known of images once they are read."""

import attrs
from attrs.validators import ge

from runwright.dims import Dims


@attrs.frozen(kw_only=True)
class ImageDims(Dims):
    """Images and their classes.

    Attributes:
        channels, height, width: the shape (C, H, W) of one image.
        num_classes: the number of classes.
        num_groups: the number of groups, for worst-group accuracy; 1 means no groups.
    """

    channels: int = attrs.field(validator=ge(1))
    height: int = attrs.field(validator=ge(1))
    width: int = attrs.field(validator=ge(1))
    num_classes: int = attrs.field(validator=ge(2))
    num_groups: int = attrs.field(default=1, validator=ge(1))
