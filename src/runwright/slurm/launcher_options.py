"""The options of `hydra/launcher=runwright_slurm`: resources, places, and watching jobs."""

from dataclasses import dataclass, field
from typing import Any

from runwright.compose.plugin_options import store_options


@dataclass
class SlurmCfg:
    """The options of a job on Slurm, named as in Hydra's submitit launcher."""

    _target_: str = "runwright.slurm.launcher.SlurmLauncher"

    # Where Slurm's logs and submitit's files go; %j is the job's id.
    submitit_folder: str = "${hydra.sweep.dir}/.submitit/%j"
    name: str = "${hydra.job.name}"

    # What a job gets. Memory in GB; time in minutes.
    timeout_min: int = 60
    mem_gb: float | None = None
    cpus_per_task: int | None = None
    gpus_per_node: int | None = None
    tasks_per_node: int = 1
    nodes: int = 1
    gres: str | None = None

    # Where it runs.
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    comment: str | None = None

    # Jobs of the array that run at the same time.
    array_parallelism: int = 256
    # Seconds before the time limit at which a job is told to save a checkpoint and requeue.
    signal_delay_s: int = 120
    # How often a job may be requeued at its time limit. Preemption does not count, unless four
    # fifths of the time, or all but ten minutes of it, have passed.
    max_num_timeout: int = 1000

    # Commands before the job, such as `module load cuda`.
    setup: list[str] | None = None
    srun_args: list[str] | None = None
    use_srun: bool = True
    # The Python to run with; by default the one that submits.
    python: str | None = None
    stderr_to_stdout: bool = False
    # Other options of sbatch, e.g. {mail-type: FAIL}.
    additional_parameters: dict[str, Any] = field(default_factory=dict)

    # Submit without waiting; `python -m runwright results` collects the results later.
    detached: bool = False
    # Seconds between looks at the queue.
    poll_every: float = 10.0


def store() -> None:
    """Register it with Hydra."""
    store_options("hydra/launcher", "runwright_slurm", SlurmCfg)
