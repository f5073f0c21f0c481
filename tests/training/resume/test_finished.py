"""A finished run is left alone, or trained for longer."""

import json
import re
import shutil
from pathlib import Path

import pytest

import toy_domain
from conftest import last_of_each
from programs import run_python
from runwright import UserError, compose
from runwright.caller import Caller
from runwright.run import run
from training.resume.conftest import (
    ALLOWED,
    DIE_AT_STEP_30,
    OVERRIDES,
    assert_equal_runs,
    contents,
)
from training.test_loop import column


def test_a_finished_run_is_left_alone_and_says_how_to_go_on(
    unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    before = contents(run_dir)
    capsys.readouterr()
    value = compose([*OVERRIDES, "checkpoint.save_every=10"]).run(run_dir)
    assert value == json.loads((unbroken / "result.json").read_text())["value"]
    assert contents(run_dir) == before
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"This run has finished. Best val_accuracy: 0.\d+, at step \d+ of 124.", said[0]
    )
    assert "increase training.epochs or training.max_steps" in said[1]
    assert "checkpoint.allow_changes=true" in said[1]
    assert said[2:] == [f"Run directory: {run_dir}"]


def test_only_the_pictures_that_a_finished_run_lacks_are_drawn(
    unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    with_pictures = [one for one in OVERRIDES if one != "pictures=false"]
    compose(with_pictures).run(run_dir)
    assert "The training had already finished, after step 124 of 124." in capsys.readouterr().out
    assert (run_dir / "pictures" / "learning_curves.png").exists()
    assert (run_dir / "result.json").read_bytes() == (unbroken / "result.json").read_bytes()
    assert_equal_runs(unbroken, run_dir)
    before = contents(run_dir)
    compose(with_pictures).run(run_dir)
    assert contents(run_dir) == before


def test_a_finished_run_can_be_trained_on(
    unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    longer = last_of_each(*OVERRIDES, "training.epochs=5")
    with pytest.raises(UserError, match="training.epochs: 4 → 5"):
        compose(longer).run(run_dir)
    before = column(run_dir, "lr")
    compose(last_of_each(*longer, "checkpoint.allow_changes=true")).run(run_dir)
    said = capsys.readouterr().out
    assert "Resuming after step 124 of 155." in said
    assert json.loads((run_dir / "result.json").read_text())["steps"] == 155
    stretched = re.search(
        r"opt\.schedule=one_cycle now spans 155 steps, not 124: the learning rate continues at "
        r"(\S+), after (\S+) in the last step\.",
        said,
    )
    assert stretched is not None
    now, last = (float(rate) for rate in stretched.groups())
    assert last == pytest.approx(before[124], rel=0.01)
    assert now > column(run_dir, "lr")[126] > last  # recorded every seven steps


def test_what_a_finished_run_leaves_is_its_last_checkpoint_and_its_best_weights(
    unbroken: Path,
) -> None:
    names = {path.name.split(".")[0] for path in (unbroken / "checkpoints").iterdir()}
    assert names == {"best", "last", "step-00000124"}


SETS = (f"dm={toy_domain.ToySets.config_choice}", "model=set_encoder", "gpu=-1", "pictures=false")
STUCK = (*SETS, "opt.lr=1", "opt.schedule=constant", "training.early_stopping=3")


def test_a_run_that_stopped_early_goes_on_when_there_is_no_reason_to_any_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compose([*STUCK, "training.epochs=50"]).run(tmp_path)
    stopped = json.loads((tmp_path / "result.json").read_text())["steps"]
    assert stopped < 400
    capsys.readouterr()
    compose(last_of_each(*STUCK, "training.epochs=50", "training.early_stopping=2", ALLOWED)).run(
        tmp_path
    )
    assert f"had already finished, after step {stopped} of 400." in capsys.readouterr().out
    compose(
        last_of_each(*STUCK, "training.epochs=50", "training.early_stopping=null", ALLOWED)
    ).run(tmp_path)
    said = capsys.readouterr().out
    assert f"Resuming after step {stopped} of 400." in said
    assert "the learning rate continues" not in said  # the schedule is what it was
    assert json.loads((tmp_path / "result.json").read_text())["steps"] == 400


class OthersDoBetter:
    def report(self, step: int, value: float) -> bool:
        del step, value
        return True


def test_a_run_that_was_pruned_does_not_go_on_when_it_may_be_more_patient(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(compose([*STUCK, "training.epochs=2"]), tmp_path, Caller(reporter=OthersDoBetter()))
    compose(last_of_each(*STUCK, "training.epochs=2", "training.early_stopping=null", ALLOWED)).run(
        tmp_path
    )
    assert "The training had already finished, after step 8 of 16." in capsys.readouterr().out
    compose(last_of_each(*STUCK, "training.epochs=3", "training.early_stopping=null", ALLOWED)).run(
        tmp_path
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["status"], result["steps"]) == ("finished", 24)  # whoever asks for more gets it


def test_a_run_that_was_killed_when_it_trained_on_has_not_finished(
    unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(shutil.copytree(unbroken, tmp_path / "finished"))
    longer = last_of_each(*OVERRIDES, "training.epochs=5", "checkpoint.save_every=10")
    longer += ["checkpoint.allow_changes=true"]
    script = DIE_AT_STEP_30.replace("30", "130")
    done = run_python("-c", script, run_dir, *longer)
    assert done.returncode == -9
    capsys.readouterr()
    compose(longer).run(run_dir)
    assert "Resuming after step 130 of 155." in capsys.readouterr().out


def test_a_finished_run_of_which_only_the_best_weights_were_kept_has_finished(
    best_only: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(unbroken / "result.json", best_only)
    before = contents(best_only)
    compose(OVERRIDES).run(best_only)
    assert "This run has finished." in capsys.readouterr().out
    assert contents(best_only) == before
