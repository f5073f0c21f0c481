"""Weights & Biases: its options, and a run's records there, which never stop the run."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from typing_extensions import override

from runwright.compose.conversion import home_path
from runwright.errors import UserError
from runwright.extras import require_extra
from runwright.factory import Settings, option, settings

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

log = logging.getLogger(__name__)

# How long the server is waited for: at the start, and for the rest of the upload at the end.
_SECONDS: Final = 30

_NO_KEY: Final = (
    "wandb.mode=online needs an API key and there is none. Run `wandb login` once, or set "
    "WANDB_API_KEY, or use wandb.mode=offline and `wandb sync` later."
)

# What `wandb.Settings` calls the options that it has rules for.
_SETTINGS: Final = {"project": "project", "id": "run_id", "tags": "run_tags"}


@settings
class WandbCfg(Settings):
    """Weights & Biases; the options of `wandb.init`."""

    name: str | None = option(harmless=True, default=None, doc="name of the run; W&B invents one")
    dir: str = option(harmless=True, default="./local_logging", doc="directory for W&B's own files")
    id: str | None = option(
        harmless=True, default=None, doc="id of the run; a resumed run keeps its own"
    )
    anonymous: str | None = option(
        harmless=True, default=None, doc="passed on to wandb.init, where it no longer has an effect"
    )
    project: str | None = option(
        harmless=True, default="runwright", doc="project that the run belongs to"
    )
    group: str | None = option(harmless=True, default=None, doc="group that the run belongs to")
    entity: str | None = option(
        harmless=True, default=None, doc="user or team; W&B takes your default"
    )
    tags: list[str] | None = option(harmless=True, default=None, doc="labels of the run")
    job_type: str | None = option(harmless=True, default=None, doc="kind of the run, e.g. train")
    mode: Literal["online", "offline", "disabled"] = option(
        harmless=True,
        default="disabled",
        doc="whether to log to the server, to files, or not at all",
    )
    resume: Literal["allow", "never", "must", "auto"] | None = option(
        harmless=True, default=None, doc="what to do when the id exists; a resumed run takes allow"
    )

    @override
    def preflight(self) -> None:
        if self.mode == "disabled":
            return
        require_extra("wandb", "wandb", f"wandb.mode={self.mode}")
        import wandb
        from wandb.errors import UsageError

        for name, setting in _SETTINGS.items():
            try:
                wandb.Settings(**{setting: getattr(self, name)})
            except (UsageError, ValueError) as error:
                raise UserError(f"wandb.{name}: {_reason(error)}.") from error
        # It looks for a key, and asks no server.
        if self.mode == "online" and not wandb.login(prompt=False, verify=False):
            raise UserError(_NO_KEY)

    def build(self, *, config: Mapping[str, Any], resumed_id: str | None) -> "WandbLog | None":
        """Start the W&B run, or return None when it is disabled.

        Where the server cannot be reached the run is logged offline, and says so: a failure of
        the network must not stop a training.
        """
        if self.mode == "disabled":
            return None
        import wandb
        from wandb.errors import CommError

        folder = home_path(Path(self.dir))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"wandb.dir={self.dir}: {error.filename}: {error.strerror}.") from error
        arguments: dict[str, Any] = {
            "name": self.name,
            "dir": str(folder),
            "id": resumed_id or self.id,
            "project": self.project,
            "group": self.group,
            "entity": self.entity,
            "tags": self.tags,
            "job_type": self.job_type,
            "resume": "allow" if resumed_id else self.resume,
            "config": dict(config),
            "reinit": "create_new",
        }
        if self.anonymous is not None:
            arguments["anonymous"] = self.anonymous
        if self.mode == "online":
            patience: dict[str, Any] = {
                name: _SECONDS
                for name in ("init_timeout", "finish_timeout")
                if f"WANDB_{name.upper()}" not in os.environ
            }
            arguments["settings"] = wandb.Settings(**patience)
            if "init_timeout" in patience:
                log.info("Waiting for the W&B server, at most %d s.", _SECONDS)
        try:
            return WandbLog(wandb.init(mode=self.mode, **arguments))
        except CommError as error:
            log.warning("W&B cannot be reached (%s): logging offline; `wandb sync` later.", error)
            return WandbLog(wandb.init(mode="offline", **arguments))


def _reason(error: Exception) -> str:
    """Why W&B refuses a value, without what pydantic says around it."""
    errors: Callable[[], list[dict[str, Any]]] | None = getattr(error, "errors", None)
    text = str(error) if errors is None else str(errors()[0]["msg"])
    return text.removeprefix("Value error, ").rstrip(".")


class WandbLog:
    """What a run tells W&B. Whatever goes wrong there is said once, and the run goes on."""

    def __init__(self, run: "Run") -> None:
        """Tell this run of W&B's."""
        self._run = run
        self._files = run.settings.sync_dir
        self._is_lost = False

    @property
    def id(self) -> str:
        """W&B's id of the run."""
        return self._run.id

    def record(self, step: int, measures: Mapping[str, float]) -> None:
        """Record what was measured at a step."""
        if self._is_lost:
            return
        try:
            self._run.log(dict(measures), step=step)
        except Exception as error:  # noqa: BLE001  # W&B's process or its disk, in W&B's errors
            self._lose(error)

    def close(self, *, failed: bool) -> None:
        """End the run there, and wait a while for what is not uploaded yet."""
        try:
            self._run.finish(exit_code=int(failed))
        except Exception as error:  # noqa: BLE001
            if not self._is_lost:
                self._lose(error)

    def _lose(self, error: Exception) -> None:
        self._is_lost = True
        log.warning(
            "W&B records no more (%s: %s). The run goes on, metrics.csv has all of it; what W&B "
            "has by now can be uploaded with `wandb sync %s`.",
            type(error).__name__,
            error,
            self._files,
        )
