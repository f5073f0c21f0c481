"""The program behind `main.py`.

Its exit status is 0 when all is done, 1 when a run failed, 2 for the user's mistake, 130 after
Ctrl-C and 143 after SIGTERM, both with a checkpoint saved.
"""

import gc
import importlib
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from runwright.run import Config


def main(
    conf: str | None = "conf",
    *,
    config_name: str = "config",
    config: "type[Config] | None" = None,
    factories: Sequence[str] = (),
) -> None:
    """Run the command line; does not return.

    Args:
        conf: the folder of YAML files, relative to the script; None when there is none.
        config_name: the primary configuration in it, without `.yaml`.
        config: the class of the configuration, `Config` by default.
        factories: modules to import, by name, so that the factories in them can be chosen.
    """
    # Importing and composing make many objects and free few: until a job runs, collecting is waste.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # where "≥" cannot be printed, "?" will do
            stream.reconfigure(errors="replace")
    from runwright.commandline import run_command_line
    from runwright.run import Config

    for module in factories:
        importlib.import_module(module)
    sys.exit(run_command_line(conf, config_name, config or Config))


def job(composed: "DictConfig") -> float:
    """Run one composed job; what Hydra's launchers call, here or on another machine."""
    gc.enable()
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from runwright import composition

    hydra = HydraConfig.get()
    if GlobalHydra.instance().is_initialized():  # not in a launcher's own process
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, composition.StrictConfigLoader)
        loader.has_launched = True
    try:
        return composition.to_config(composed).run(hydra.runtime.output_dir)
    except Exception as error:
        if hydra.mode is RunMode.MULTIRUN:  # the others go on; Hydra reports the first at the end
            print(f"Job #{hydra.job.num} failed: {error}", file=sys.stderr)
        raise
