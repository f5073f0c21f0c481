"""The header of a safetensors file, read without torch and without the tensors."""

import json
from pathlib import Path
from typing import Any, cast


def read_metadata(file: Path) -> dict[str, Any]:
    """What was saved beside the tensors; nothing of a file that cannot be read, or is another."""
    try:
        with file.open("rb") as opened:
            header = opened.read(int.from_bytes(opened.read(8), "little"))
        found: Any = json.loads(header)["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
