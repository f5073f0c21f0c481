"""The stages that every domain has; importing this registers them."""

from runwright.stages import fit, measure, predict

__all__ = ["fit", "measure", "predict"]
