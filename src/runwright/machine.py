"""The machine that a run uses: other options and files refer to it as `${machine.…}`."""

from pathlib import Path

from runwright.factory import Settings, factory, option


@factory("local")
class Machine(Settings, group="machine", is_open=True):
    """The paths and limits of this machine.

    A run does not use it by itself: options do that refer to it, `dm.root=${machine.data_path}`.
    Files of the group may have keys of their own besides these.
    """

    data_path: Path = option(default=Path("data"), doc="folder with the data sets")
    output_dir: Path = option(
        default=Path(), doc="folder for the results: outputs/ of runs and multirun/ of multiruns"
    )
    num_workers: int = option(default=0, ge=0, doc="number of processes that read data")
    batch_size: int = option(default=64, ge=1, doc="examples that fit into memory at once")
