"""Packages that only this domain needs."""

import importlib.util

from runwright.errors import UserError


def require_extra(module: str, needed_by: str) -> None:
    """Make sure that a package of the extra `vision` is installed.

    Args:
        module: what is imported.
        needed_by: what it is needed for, in the user's words.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise UserError(
            f"{needed_by} needs the module {module}, which is not installed. Install it with "
            "`pip install runwright[vision]`."
        )
