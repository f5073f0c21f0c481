"""The machine that a run is made on: what other options and files refer to as `${machine.…}`."""

from pathlib import Path

from runwright.factory import Settings, factory, option


@factory("local")
class Machine(Settings, group="machine", is_open=True):
    """Where things are on this machine, and how much fits at once.

    A run computes nothing with it: what refers to it, `dm.root=${machine.data_path}`, does. Files
    of the group may have keys of their own beside these.
    """

    data_path: Path = option(default=Path("data"), doc="folder of the data sets")
    output_dir: Path = option(
        default=Path(), doc="folder in which runs make outputs/, and multiruns multirun/"
    )
    num_workers: int = option(default=0, ge=0, doc="processes that read data")
    batch_size: int = option(default=64, ge=1, doc="examples that fit into its memory at once")
