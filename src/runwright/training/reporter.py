"""Telling whoever watches a run how it goes, e.g. the trial of a sweep that it belongs to."""

from typing import Protocol


class Reporter(Protocol):
    """Is told of every validation, and may end the training."""

    def report(self, step: int, value: float) -> bool:
        """Take the monitored measure at a step; returns whether to end the training now."""
        ...
