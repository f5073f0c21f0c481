"""A run's records at Weights & Biases, which never stop the run."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runwright.config import WandbCfg
from runwright.errors import UserError
from runwright.extras import require_extra
from runwright.plain import home_path

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

log = logging.getLogger(__name__)

# How long to wait for the server: at the start, and for the rest of the upload at the end.
_SECONDS: Final = 30

_NO_KEY: Final = (
    "wandb.mode=online needs an API key, and there is none. Run `wandb login` once, or set "
    "WANDB_API_KEY, or use wandb.mode=offline and `wandb sync` later."
)

# What `wandb.Settings` calls the options that it has rules for.
_SETTINGS: Final = {"project": "project", "id": "run_id", "tags": "run_tags"}


def check(cfg: WandbCfg) -> None:
    """Check, before any data are read, what only W&B knows to be wrong.

    Raises:
        UserError: it rejects an option, or has no key.
    """
    if cfg.mode == "disabled":
        return
    require_extra("wandb", "wandb", f"wandb.mode={cfg.mode}")
    import wandb
    from wandb.errors import UsageError

    for name, setting in _SETTINGS.items():
        try:
            wandb.Settings(**{setting: getattr(cfg, name)})
        except (UsageError, ValueError) as error:
            raise UserError(f"wandb.{name}: {_reason(error)}.") from error
    # It looks for a key without asking a server.
    if cfg.mode == "online" and not wandb.login(prompt=False, verify=False):
        raise UserError(_NO_KEY)


def start(cfg: WandbCfg, *, config: Mapping[str, Any], resumed_id: str | None) -> "WandbLog | None":
    """Start the W&B run, or return None when it is disabled.

    If the server cannot be reached, the run is logged offline, and says so: a failure of the
    network must not stop a training.
    """
    if cfg.mode == "disabled":
        return None
    import wandb
    from wandb.errors import CommError

    folder = home_path(Path(cfg.dir))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"wandb.dir={cfg.dir}: {error.filename}: {error.strerror}.") from error
    arguments: dict[str, Any] = {
        "name": cfg.name,
        "dir": str(folder),
        "id": resumed_id or cfg.id,
        "project": cfg.project,
        "group": cfg.group,
        "entity": cfg.entity,
        "tags": cfg.tags,
        "job_type": cfg.job_type,
        "resume": "allow" if resumed_id else cfg.resume,
        "config": dict(config),
        "reinit": "create_new",
    }
    if cfg.anonymous is not None:
        arguments["anonymous"] = cfg.anonymous
    if cfg.mode == "online":
        patience: dict[str, Any] = {
            name: _SECONDS
            for name in ("init_timeout", "finish_timeout")
            if f"WANDB_{name.upper()}" not in os.environ
        }
        arguments["settings"] = wandb.Settings(**patience)
        if "init_timeout" in patience:
            log.info("Waiting for the W&B server for at most %d s.", _SECONDS)
    try:
        return WandbLog(wandb.init(mode=cfg.mode, **arguments), uploads_model=cfg.log_model)
    except CommError as error:
        log.warning("W&B cannot be reached (%s): logging offline; `wandb sync` later.", error)
        return WandbLog(wandb.init(mode="offline", **arguments), uploads_model=cfg.log_model)
    except OSError as error:
        where = error.filename or folder
        raise UserError(
            f"W&B cannot write {where}: {error.strerror}. See wandb.dir and wandb.id."
        ) from error


def _reason(error: Exception) -> str:
    """Why W&B refuses a value, without pydantic's wrapping."""
    errors: Callable[[], list[dict[str, Any]]] | None = getattr(error, "errors", None)
    text = str(error) if errors is None else str(errors()[0]["msg"])
    return text.removeprefix("Value error, ").rstrip(".")


class WandbLog:
    """Sends a run's records to W&B. Any failure there is reported once, and the run continues."""

    def __init__(self, run: "Run", *, uploads_model: bool = False) -> None:
        self._run = run
        self._uploads_model = uploads_model
        self._files = run.settings.sync_dir
        self._is_lost = False

    @property
    def id(self) -> str:
        """W&B's id of the run."""
        return self._run.id

    def record(self, step: int, measures: Mapping[str, float]) -> None:
        """Record what was measured at a step."""
        self._send(lambda: self._run.log(dict(measures), step=step))

    def show(self, step: int, pictures: Mapping[str, Path]) -> None:
        """Record pictures of a step, by name."""
        import wandb

        images = {name: wandb.Image(str(file)) for name, file in pictures.items()}
        self._send(lambda: self._run.log(images, step=step))

    def finish(self, weights: Path) -> None:
        """Upload the best weights, if that is asked for."""
        if self._uploads_model and weights.exists():
            name = f"model-{self._run.id}"
            self._send(lambda: self._run.log_artifact(str(weights), name=name, type="model"))

    def _send(self, something: Callable[[], object]) -> None:
        if self._is_lost:
            return
        try:
            something()
        except Exception as error:  # noqa: BLE001  # W&B's process or its disk, in W&B's errors
            self._lose(error)

    def close(self, *, failed: bool) -> None:
        """End the W&B run, and wait a while for what is not uploaded yet."""
        try:
            self._run.finish(exit_code=int(failed))
        except Exception as error:  # noqa: BLE001
            if not self._is_lost:
                self._lose(error)

    def _lose(self, error: Exception) -> None:
        self._is_lost = True
        log.warning(
            "W&B has stopped recording (%s: %s). The run continues, and metrics.csv has "
            "everything; what W&B has so far can be uploaded with `wandb sync %s`.",
            type(error).__name__,
            error,
            self._files,
        )
