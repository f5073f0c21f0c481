"""What is known about images before a model is built."""

import attrs
from attrs.validators import ge

from runwright import Dims


@attrs.frozen(kw_only=True)
class ImageDims(Dims):
    """Images and their classes.

    Attributes:
        channels, height, width: the shape (C, H, W) of one image.
        num_classes: the number of classes.
        num_groups: the number of groups, for worst-group accuracy; 1 means no groups.
        class_names: the names of the classes; None if they have no names.
        group_names: the names of the groups; that of a group within a class begins with the
            name of the class ("smiling, female"). None if they have no names.

    Dims that differ only in names are equal: the same model is built from them.
    """

    channels: int = attrs.field(validator=ge(1))
    height: int = attrs.field(validator=ge(1))
    width: int = attrs.field(validator=ge(1))
    num_classes: int = attrs.field(validator=ge(2))
    num_groups: int = attrs.field(default=1, validator=ge(1))
    class_names: tuple[str, ...] | None = attrs.field(
        default=None,
        validator=lambda dims, _, names: _check_count(names, dims.num_classes, "classes"),
        eq=False,
        repr=False,
    )
    group_names: tuple[str, ...] | None = attrs.field(
        default=None,
        validator=lambda dims, _, names: _check_count(names, dims.num_groups, "groups"),
        eq=False,
        repr=False,
    )

    def class_name(self, number: int) -> str:
        """The name of a class, or "class 3" if it has none."""
        return f"class {number}" if self.class_names is None else self.class_names[number]

    def group_name(self, number: int) -> str:
        """The name of a group, or "group 3" if it has none."""
        return f"group {number}" if self.group_names is None else self.group_names[number]


def _check_count(names: tuple[str, ...] | None, count: int, what: str) -> None:
    if names is not None and len(names) != count:
        raise ValueError(f"{len(names)} names for {count} {what}: {', '.join(names)}")
