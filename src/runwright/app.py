"""The program behind `main.py`.

Its exit status is 0 on success, 1 when a run failed, 2 for a mistake of the user's, 130 after
Ctrl-C and 143 after SIGTERM, both with a checkpoint saved.
"""

import gc
import importlib
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runwright.cli.answer import ProgramAnswer, is_asked
from runwright.cli.exit_status import DONE, end_program, exit_status

if TYPE_CHECKING:
    from runwright.config import Config


def main(
    conf: str | None = "conf",
    *,
    config_name: str = "config",
    config: "type[Config] | None" = None,
    factories: Sequence[str] = (),
) -> None:
    """Run the command line; never returns.

    Args:
        conf: the folder of YAML files, relative to the script; None when there is none.
        config_name: the primary configuration in it, without `.yaml`.
        config: the class of the configuration, `Config` by default.
        factories: modules to import, by name, so that the factories in them can be chosen.
    """
    if is_asked():
        from runwright.config import Config

        raise ProgramAnswer(conf, config_name, config or Config, factories)
    # Importing and composing make many objects and free few: collecting before a job is a waste.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # where "≥" cannot be printed, "?" will do
            stream.reconfigure(errors="replace")

    def command() -> int:
        from runwright.cli.commandline import run_command_line
        from runwright.config import Config

        for module in factories:
            importlib.import_module(module)
        run_command_line(conf, config_name, config or Config)
        return DONE

    end_program(exit_status(command))
