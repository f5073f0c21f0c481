"""Sweeps, from the command line to what they leave behind."""

import gc
import json
import shlex
import sys
import time
import weakref
from pathlib import Path

import matplotlib
import optuna
import pytest
import yaml
from matplotlib.pyplot import imread as read_picture
from optuna.trial import TrialState

from runwright import compose
from runwright.cli.commandline import run_command_line
from runwright.config import Config
from runwright.sweep.study_pictures import draw_study
from sweep.conftest import LRS, Sweep, at_every_line, result, study


def test_a_sweep_leaves_its_trials_results_and_pictures(sweep: Sweep) -> None:
    assert sweep("hydra.sweeper.n_trials=4", LRS, "pictures=true") == 0
    trials = study().trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    for trial in trials:
        assert trial.value == result(trial.number)["value"]
        assert result(trial.number)["status"] == "finished"
    found = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    best = min(trials, key=lambda trial: trial.value or 0)
    assert found["name"] == "optuna"
    assert found["best_params"] == best.params
    assert (found["best_value"], found["best_trial"]) == (best.value, best.number)
    assert Path(found["best_directory"]) == Path("sweep", str(best.number)).resolve()
    names = {path.name for path in Path("sweep/pictures").iterdir()}
    assert names >= {
        "history.png",
        "importances.png",
        "intermediate_values.png",
        "parallel_coordinates.png",
        "slices.png",
    }


def test_the_pictures_name_what_they_show_and_stay_readable(tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    for number in range(60):
        trial = study.ask()
        rate = trial.suggest_float("opt.lr", 1e-5, 1e-1, log=True)
        trial.report(rate, 1)
        pruned = number % 3 == 1
        study.tell(trial, None if pruned else rate, TrialState.PRUNED if pruned else None)
    before = dict(matplotlib.rcParams)
    draw_study(study, tmp_path, measures=["val_accuracy"], reported="val_loss")
    assert dict(matplotlib.rcParams) == before  # Optuna's style is not that of later pictures
    sizes = {path.stem: read_picture(path).shape for path in tmp_path.iterdir()}
    assert set(sizes) >= {"history", "intermediate_values", "parallel_coordinates", "slices"}
    assert all(height < 900 for height, *_ in sizes.values())


def test_every_validation_is_reported(sweep: Sweep) -> None:
    assert sweep("hydra.sweeper.n_trials=1", LRS, "training.epochs=3") == 0
    reported = study().trials[0].intermediate_values
    assert list(reported) == [8, 16, 24]
    rows = Path("sweep/0/metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("val_loss")
    assert [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]] == list(
        reported.values()
    )


def test_a_trial_that_does_badly_is_pruned_and_not_failed(sweep: Sweep) -> None:
    status = sweep(
        "hydra.sweeper.n_trials=3",
        "hydra.sweeper.pruner.n_startup_trials=1",
        "opt.lr=interval(1e-9, 1e-1)",
        "hydra.sweeper.enqueue=[{opt.lr: 0.05}, {opt.lr: 1e-9}, {opt.lr: 0.04}]",
    )
    assert status == 0
    states = [trial.state for trial in study().trials]
    assert states[:2] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert result(1)["status"] == "pruned"
    assert result(1)["steps"] == 8  # the first validation of two
    assert Path("sweep/1/checkpoints/last.safetensors").exists()


@pytest.mark.parametrize(
    ("pruner", "options"),
    [("successive_halving", ()), ("hyperband", ("hydra.sweeper.pruner.max_resource=16",))],
)
def test_a_trial_that_is_worse_at_its_rung_is_pruned(
    sweep: Sweep, pruner: str, options: tuple[str, ...]
) -> None:
    rungs = ("hydra.sweeper.pruner.min_resource=8", "hydra.sweeper.pruner.reduction_factor=2")
    # Hyperband deals the trials out to two sets of rungs: enough of them that each has bad ones.
    bad = ",".join(f"{{opt.lr: {number}e-9}}" for number in range(1, 7))
    status = sweep(
        f"hydra/sweeper/pruner={pruner}",
        "hydra.sweeper.n_trials=8",
        "opt.lr=interval(1e-9, 1e-1)",
        f"hydra.sweeper.enqueue=[{{opt.lr: 0.05}},{{opt.lr: 0.06}},{bad}]",
        *rungs,
        *options,
    )
    assert status == 0
    good, _, *others = [trial.state for trial in study().trials]
    assert good is TrialState.COMPLETE
    assert TrialState.PRUNED in others
    assert {good, *others} <= {TrialState.COMPLETE, TrialState.PRUNED}


def test_a_trial_that_fails_leaves_nothing_in_memory(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: weakref.WeakSet[Held] = weakref.WeakSet()
    found: list[int] = []

    def fails(*_: object, **__: object) -> None:
        found.append(len(alive))
        held = Held()
        alive.add(held)
        raise RuntimeError(held.__doc__)

    monkeypatch.setattr("runwright.sweep.trial.run", fails)
    monkeypatch.setattr(gc, "enable", gc.disable)  # nor may it wait for a collection
    try:
        status = sweep("hydra.sweeper.n_trials=3", "hydra.sweeper.max_failure_rate=1", LRS)
    finally:
        monkeypatch.undo()
        gc.enable()
    assert status == 0
    assert found == [0, 0, 0]


class Held:
    """What a run holds."""


def test_the_mean_over_seeds_is_the_value_of_a_trial(sweep: Sweep) -> None:
    assert sweep("hydra.sweeper.n_trials=2", LRS, "hydra.sweeper.seeds=[1,2,3]") == 0
    for trial in study().trials:
        values = [
            json.loads(Path(f"sweep/{trial.number}/seed_{seed}/result.json").read_text())["value"]
            for seed in (1, 2, 3)
        ]
        assert trial.value == pytest.approx(sum(values) / 3)
        assert list(trial.intermediate_values.values()) == values


def test_seeds_are_compared_one_by_one_with_the_best_trial(sweep: Sweep) -> None:
    status = sweep(
        "hydra/sweeper/pruner=wilcoxon",
        "hydra.sweeper.n_trials=2",
        "hydra.sweeper.seeds=[1,2,3,4,5,6]",
        "opt.lr=interval(1e-9, 1e-1)",
        "hydra.sweeper.enqueue=[{opt.lr: 0.05}, {opt.lr: 1e-9}]",
    )
    assert status == 0
    assert study().trials[1].state is TrialState.PRUNED
    assert len(list(Path("sweep/1").glob("seed_*"))) < 6


def test_an_option_is_searched_only_beside_the_choice_that_has_it(sweep: Sweep) -> None:
    space = Path("conf/hydra/sweeper/schedules.yaml")
    space.parent.mkdir(parents=True)
    space.write_text(
        "defaults: [runwright, override sampler: random]\n"
        "sampler: {seed: 1}\n"
        "params: {opt.schedule: 'constant,cosine'}\n"
        "when:\n"
        "  opt.schedule=cosine: {opt.final_lr_ratio: 'interval(0.1,0.5)'}\n"
    )
    found = ("--config-dir", str(Path("conf").resolve()), "hydra/sweeper=schedules")
    assert sweep(*found, "hydra.sweeper.n_trials=6") == 0
    chosen = {trial.number: trial.params for trial in study().trials}
    assert {values["opt.schedule"] for values in chosen.values()} == {"constant", "cosine"}
    for number, values in chosen.items():
        assert ("opt.final_lr_ratio" in values) == (values["opt.schedule"] == "cosine")
        recorded = Path(f"sweep/{number}/config.yaml").read_text()
        assert f"final_lr_ratio: {values.get('opt.final_lr_ratio', 0.0)}\n" in recorded


def test_several_measures_give_a_front(sweep: Sweep) -> None:
    status = sweep(
        "hydra/sweeper/pruner=none",
        "hydra.sweeper.n_trials=4",
        "hydra.sweeper.measures=[val_loss,parameters]",
        "dm.features=2,3,4,6",
        "pictures=true",
    )
    assert status == 0
    found = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    assert [direction.name for direction in study().directions] == ["MINIMIZE", "MINIMIZE"]
    assert found["solutions"]
    for solution in found["solutions"]:
        recorded = result(solution["best_trial"])
        assert solution["values"] == [recorded["value"], recorded["parameters"]]
    assert Path("sweep/pictures/pareto_front.png").exists()


def test_no_more_slots_are_made_than_there_are_trials(sweep: Sweep) -> None:
    assert sweep(LRS, "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1000000") == 0
    assert len(study().trials) == 2


def test_after_the_timeout_no_trial_is_started(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_every_line(monkeypatch, lambda: time.sleep(3))  # as long as the timeout, or longer
    counts = ("hydra.sweeper.n_trials=5", "hydra.sweeper.timeout=3")
    assert sweep(*counts, "training.max_steps=1", LRS) == 0
    assert len(study().trials) == 1


def test_a_sweep_in_which_most_trials_fail_stops(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    status = sweep("hydra.sweeper.n_trials=20", "opt.lr=1e38,1e37")
    assert status == 1
    assert len(study().trials) == 5
    assert study().trials[0].state is TrialState.FAIL
    assert "The training loss is" in study().trials[0].user_attrs["error"]
    assert "5 of 5 trials failed" in capsys.readouterr().err


def test_the_best_command_gives_the_best_value_again(sweep: Sweep) -> None:
    assert sweep("hydra.sweeper.n_trials=2", LRS) == 0
    found = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    overrides = found["best_command"].split()[2:]
    assert compose(overrides).run("again") == found["best_value"]


def test_the_best_command_names_the_configuration_that_the_sweep_was_started_with(
    sweep: Sweep,
) -> None:
    folder = Path("of my own")
    folder.mkdir()
    (folder / "mine.yaml").write_text("defaults: [config, _self_]\ntraining: {log_every: 7}\n")
    flags = ("--config-dir", str(folder), "--config-name", "mine")
    assert sweep(*flags, "hydra.sweeper.n_trials=1", LRS) == 0
    found = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    assert shlex.split(found["best_command"])[2:6] == [*flags]


def test_the_best_command_runs_all_seeds_again(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep("hydra.sweeper.n_trials=2", LRS, "hydra.sweeper.seeds=[3,4]") == 0
    found = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    arguments = shlex.split(found["best_command"])[1:]
    monkeypatch.setattr(sys, "argv", [*arguments, "hydra.sweep.dir=again"])
    run_command_line("conf", "config", Config)
    values = [json.loads(Path(f"again/{i}/result.json").read_text())["value"] for i in (0, 1)]
    assert sum(values) / 2 == found["best_value"]


def test_a_trial_is_where_hydra_put_it(sweep: Sweep) -> None:
    subdir = "hydra.sweep.subdir=lr-${opt.lr}"
    assert sweep("hydra.sweeper.n_trials=2", "opt.lr=0.01,0.02", subdir) == 0
    for trial in study().trials:
        where = Path(trial.user_attrs["directory"])
        assert where == Path(f"sweep/lr-{trial.params['opt.lr']}").resolve()
        assert (where / "result.json").exists()
    found = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    assert (
        json.loads((Path(found["best_directory"]) / "result.json").read_text())["value"]
        == (found["best_value"])
    )
