"""What `${hydra:…}` stands for in a job that is composed, but not launched yet.

Hydra's resolver takes the values of the configuration that Hydra was told of last: while the jobs
of a multirun are composed, that of the multirun or of another job.
"""

import contextlib
import re
from collections.abc import Generator
from typing import Any, Final, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from runwright.plain import leaves

_REFERENCE: Final = re.compile(r"\$\{hydra:([^${}]*)\}")


class HydraOfJob:
    """Hydra's part of a composed configuration, copied when a value of it is asked for."""

    def __init__(self, composed: DictConfig) -> None:
        """Stand for the part of this configuration."""
        self._of_job: Any = composed.get("hydra")
        self._root: DictConfig | None = None

    @property
    def hydra(self) -> Any:
        """The part; what it refers to in the application's is not known."""
        if self._root is None:
            # A root of its own, since it is taken out of the configuration while that is converted.
            self._root = OmegaConf.create({}, flags={"allow_objects": True})
            self._root["hydra"] = self._of_job
        return self._root.hydra

    def unknown(self, node: DictConfig) -> list[str]:
        """The keys below a node whose values only a running job knows, such as its number."""
        if self._root is None:  # nothing was asked for
            return []
        return [
            key
            for key, value in leaves(OmegaConf.to_container(node, resolve=False))
            if any(self._is_unknown(path) for path in _REFERENCE.findall(str(value)))
        ]

    def _is_unknown(self, path: str) -> bool:
        return OmegaConf.select(self.hydra, path, throw_on_resolution_failure=False) is None


@contextlib.contextmanager
def hydra_of(composed: DictConfig) -> Generator[HydraOfJob]:
    """Within this context, `${hydra:…}` stands for the values of this configuration."""
    instance, own = HydraConfig.instance(), HydraOfJob(composed)
    before = instance.cfg
    instance.cfg = cast("Any", own if "hydra" in composed else before)
    try:
        yield own
    finally:
        instance.cfg = before
