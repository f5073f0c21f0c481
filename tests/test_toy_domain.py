"""A domain from outside the package, in under 60 lines, runs like the built-in ones."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import toy_domain
from runwright import ConfigError, compose
from runwright.checkpoint import read_tensors

SETS = ["dm=toy_sets", "model=set_encoder", "gpu=-1", "training.epochs=3", "pictures=false"]


def test_it_is_as_short_as_promised() -> None:
    code = Path(toy_domain.__file__).read_text().splitlines()
    assert sum(1 for line in code if line.strip()) < 60


def test_it_trains_and_its_losses_are_measured(tmp_path: Path) -> None:
    loss = compose([*SETS, "opt.lr=0.01"]).run(tmp_path / "run")
    assert 0 < loss < 1
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert header == "step,epoch,lr,train_loss,train_largest,val_loss,val_largest"


def test_its_objective_follows_from_its_data() -> None:
    assert type(compose(SETS).objective).__name__ == "SetError"


def test_its_data_do_not_fit_a_model_for_images() -> None:
    with pytest.raises(ConfigError, match=r"model=fcn does not fit dm=toy_sets.*set_encoder"):
        compose(["dm=toy_sets", "model=fcn"])


def test_it_resumes_to_the_byte(tmp_path: Path) -> None:
    steady = [*SETS, "opt.schedule=constant"]
    compose(steady).run(tmp_path / "whole")
    compose([*steady, "training.max_steps=10"]).run(tmp_path / "broken")
    compose([*steady, "checkpoint.allow_changes=true"]).run(tmp_path / "broken")
    whole, resumed = (
        read_tensors(tmp_path / name / "checkpoints" / "last.safetensors")[0]
        for name in ("whole", "broken")
    )
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_it_makes_no_predictions_and_says_so(tmp_path: Path) -> None:
    compose(SETS).run(tmp_path / "run")
    with pytest.raises(Exception, match="SquaredDistance defines no table of predictions"):
        compose([*SETS, "stage=predict"]).run(tmp_path / "run")


def test_it_runs_from_a_script_of_its_own_with_multirun_and_check(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text("import toy_domain\nfrom runwright import app\n\napp.main(conf=None)\n")
    environment = {"PYTHONPATH": str(Path(toy_domain.__file__).parent)}
    arguments = [*SETS, "--multirun", "dm.features=2,3"]
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("multirun/*/*/*/checkpoints/last.safetensors"))) == 2
