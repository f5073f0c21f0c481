"""Slots that take GPUs in turn, and trials that repeat nothing."""

from pathlib import Path

import pytest
import torch
import yaml

from runwright.rundir.layout import is_run_directory
from sweep.conftest import LRS, Sweep, study


def gpu_of(run_dir: Path) -> int:
    assert is_run_directory(run_dir)
    return yaml.safe_load((run_dir / "config.yaml").read_text())["gpu"]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="runs on GPUs that need not exist")
@pytest.mark.filterwarnings("ignore:There is no CUDA device")
@pytest.mark.parametrize(("more", "used"), [((), {3, 5}), (("hydra.sweeper.n_jobs=1",), {3})])
def test_the_slots_take_the_gpus_in_turn(
    sweep: Sweep, more: tuple[str, ...], used: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sweep.conftest as usual  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(usual, "SETS", tuple(one for one in usual.SETS if one != "gpu=-1"))
    options = ("training.max_steps=1", LRS, "hydra.sweeper.n_trials=6", *more)
    assert sweep("hydra.sweeper.gpus=[3,5]", *options) == 0
    runs = [Path("sweep", str(number)) for number in range(6)]
    assert {gpu_of(run) for run in runs} == used
    assert all("gpu" not in str(trial.user_attrs["overrides"]) for trial in study().trials)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("hydra.sweeper.gpus=[0,1]",), "chooses the GPU of each trial; leave out gpu=-1."),
        (("hydra.sweeper.gpus=-1",), "leave out gpu=-1"),
        (
            ("hydra.sweeper.gpus=all", "hydra/launcher=submitit_local"),
            "hydra.sweeper.gpus is for trials on this machine",
        ),
    ],
)
def test_gpus_that_are_not_for_the_sweep_to_choose_are_refused(
    sweep: Sweep, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(LRS, *options) == 2
    assert message in capsys.readouterr().err
    assert not Path("sweep", "0").exists()


def test_a_sweep_without_repetitions_tries_each_value_once(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("training.max_steps=1", "opt.lr=0.1,0.01,0.001", "hydra.sweeper.n_trials=10")
    assert sweep("hydra.sweeper.repeat=false", *options) == 0
    finished = [trial for trial in study().trials if trial.values is not None]
    assert sorted(trial.params["opt.lr"] for trial in finished) == [0.001, 0.01, 0.1]
    assert "have all been tried before, so the sweep ends here." in capsys.readouterr().out
    assert len([path for path in Path("sweep").iterdir() if path.name.isdigit()]) == 3
