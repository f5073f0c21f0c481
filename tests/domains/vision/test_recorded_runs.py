"""Recorded short runs: a change that should not affect training changes no digit.

The record is of the locked torch, one thread, and kernels that every x86 processor has.
To record again, after an intended change: `python tests/domains/vision/test_recorded_runs.py`.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).parents[3]
RECORDED = Path(__file__).parent / "recorded"
TORCH = "2.13.0"
RUNS = {
    "cmnist_fcn": ("model=fcn", "training.ema_decay=0.9", "training.clip_grad=1"),
    "cmnist_cnn": ("+experiment=cmnist/cnn", "training.accumulate_grad_batches=2"),
}
SHORT = (
    *("gpu=-1", "deterministic=true", "pictures=false", "seed=7"),
    *("training.epochs=2", "training.limit_train_batches=10", "training.log_every=1"),
)
SAME_KERNELS = {
    "OMP_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}


def metrics(name: str, run_dir: Path) -> str:
    """`metrics.csv` of a run."""
    subprocess.run(
        [sys.executable, REPOSITORY / "main.py", *RUNS[name], *SHORT, f"hydra.run.dir={run_dir}"],
        env={**os.environ, **SAME_KERNELS},
        capture_output=True,
        check=True,
    )
    return (run_dir / "metrics.csv").read_bytes().decode()


@pytest.mark.skipif(
    not torch.__version__.startswith(TORCH) or platform.machine() != "x86_64",
    reason=f"the record is of torch {TORCH} on x86-64",
)
@pytest.mark.parametrize("name", RUNS)
def test_a_short_run_gives_the_digits_on_record(name: str, tmp_path: Path) -> None:
    assert metrics(name, tmp_path / "run") == (RECORDED / f"{name}.csv").read_bytes().decode()


if __name__ == "__main__":
    for run in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            (RECORDED / f"{run}.csv").write_bytes(metrics(run, Path(folder)).encode())
