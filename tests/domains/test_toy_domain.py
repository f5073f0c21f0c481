"""A domain from outside the package, in under 60 lines, runs like the built-in ones."""

import os
import re
import sys
from pathlib import Path

import pytest
import torch

import toy_domain
from conftest import last_of_each
from programs import run_python
from runwright import ConfigError, compose
from runwright.factory import CONFIG_GROUPS
from runwright.rundir.tensor_files import read_tensors

SETS = ["dm=toy_sets", "model=set_encoder", "gpu=-1", "training.epochs=3", "pictures=false"]
WITH_TOY_DOMAIN = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


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


@pytest.mark.usefixtures("only_own_factories")
def test_that_no_model_fits_is_said_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIG_GROUPS["dm"], "toy_sets", toy_domain.ToySets)
    monkeypatch.setitem(CONFIG_GROUPS["objective"], "set_error", toy_domain.SetError)
    with pytest.raises(ConfigError) as caught:
        compose(["dm=toy_sets", "model=fcn"])
    assert str(caught.value) == (
        "model=fcn does not fit dm=toy_sets, whose data are described by SetDims. No model that is "
        "registered fits: one for SetDims is needed, or a module that registers one has to be "
        "imported."
    )


@pytest.mark.slow
def test_it_is_killed_and_resumes_to_the_byte(tmp_path: Path) -> None:
    program = "import toy_domain; from training.resume import kill_points; kill_points.main()"
    arguments = last_of_each(*SETS, "checkpoint.save_every=1", "training.epochs=20")
    folder = tmp_path / "runs"
    run_python("-c", program, folder, "1", "3", *arguments, env=WITH_TOY_DOMAIN, check=True)
    runs = sorted(folder.glob("*/checkpoints/last.safetensors"))
    assert len(runs) >= 2
    weights = [read_tensors(path)[0] for path in runs]
    assert all(one.keys() == weights[0].keys() for one in weights)
    assert all(torch.equal(one[name], weights[0][name]) for one in weights for name in one)


def test_it_makes_no_predictions_and_says_so(tmp_path: Path) -> None:
    compose(SETS).run(tmp_path / "run")
    with pytest.raises(Exception, match="SquaredDistance does not define a table of predictions"):
        compose([*SETS, "stage=predict"]).run(tmp_path / "run")


def test_a_script_of_its_own_does_a_multirun(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text("import toy_domain\nfrom runwright import app\n\napp.main(conf=None)\n")
    done = run_python(script, *SETS, "--multirun", "dm.features=2,3", env=WITH_TOY_DOMAIN)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("multirun/*/*/*/checkpoints/last.safetensors"))) == 2


def test_check_builds_it(tmp_path: Path) -> None:
    check = ("-m", "runwright", "check", "--import", "toy_domain")
    done = run_python(*check, env=WITH_TOY_DOMAIN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^  toy_sets +features 3$", done.stdout, re.MULTILINE)
    assert re.search(r"^set_encoder +toy_sets +\d+ ", done.stdout, re.MULTILINE)
    assert "set_encoder  cmnist" not in done.stdout
