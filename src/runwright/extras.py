"""Packages that not every user needs: the extras of the installation."""

import importlib.util

from runwright.errors import UserError


class MissingExtraError(UserError):
    """An extra is not installed; the configuration that needs it may well be right."""


def require_extra(module: str, extra: str, needed_by: str) -> None:
    """Make sure that a module which comes with an extra is installed.

    Args:
        module: what will be imported.
        extra: the extra that includes it, `pip install runwright[extra]`.
        needed_by: what needs it, in the user's words.

    Raises:
        MissingExtraError: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            f"{needed_by} needs the module {module}, which is not installed. Install it with "
            f"`pip install runwright[{extra}]`."
        )
