"""The stages that there are in every domain."""

from runwright.stages import fit, measure, predict

__all__ = ["fit", "measure", "predict"]
