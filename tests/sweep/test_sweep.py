"""Sweeps, from the command line to what they leave behind."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import optuna
import pytest
import yaml
from matplotlib.pyplot import imread as read_picture
from optuna.trial import TrialState
from typing_extensions import override

from conftest import Run
from runwright import compose
from runwright.commandline import run_command_line
from runwright.exit_status import INTERRUPTED
from runwright.factory import factory
from runwright.logging import RunLog
from runwright.run import Config
from runwright.signals import REQUEUE
from runwright.sweep import storage
from runwright.sweep.results import write_results
from runwright.sweep.study import ALIVE, BY_HAND, open_storage
from sweep.conftest import Sweep, study
from toy_domain import ToySets

LRS = "opt.lr=tag(log, interval(1e-4, 1e-1))"
BY_HAND_AND_WRONG = (
    "{opt.lt: 1}",
    "{opt.lr: 5, dm.features: 3}",
    "{opt.lr: high, dm.features: 2.5, opt.optimizer_cls: Adam}",
    "{opt.warmup: 0.2}",
)


@factory("sets_but_not_of_3")
class SetsButNotOf3(ToySets):
    """Sets whose vectors have any number of features except three."""

    @override
    def problems(self) -> Iterator[str]:
        if self.features == 3:
            yield "`features` must not be 3"


def result(number: int) -> dict[str, object]:
    return json.loads(Path("sweep", str(number), "result.json").read_text())


def test_a_sweep_leaves_its_trials_results_and_pictures(sweep: Sweep) -> None:
    assert sweep("hydra.sweeper.n_trials=4", LRS) == 0
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
    write_results(study, tmp_path, " ".join, measures=["val_accuracy"], reported="val_loss")
    assert dict(matplotlib.rcParams) == before  # Optuna's style is not that of later pictures
    sizes = {path.stem: read_picture(path).shape for path in (tmp_path / "pictures").iterdir()}
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


def test_the_same_command_goes_on_where_it_was(sweep: Sweep) -> None:
    assert sweep("hydra.sweeper.n_trials=2", LRS) == 0
    before = {number: Path(f"sweep/{number}/metrics.csv").read_bytes() for number in range(2)}
    assert sweep("hydra.sweeper.n_trials=5", LRS) == 0
    assert [trial.number for trial in study().trials] == [0, 1, 2, 3, 4]
    assert before == {n: Path(f"sweep/{n}/metrics.csv").read_bytes() for n in before}
    assert sweep("hydra.sweeper.n_trials=5", LRS) == 0
    assert len(study().trials) == 5


@pytest.mark.parametrize("sampler", ["random", "nsgaii"])
def test_a_sweep_that_goes_on_draws_other_values_than_before(sweep: Sweep, sampler: str) -> None:
    short = ("training.max_steps=1", f"hydra/sweeper/sampler={sampler}")
    space = ("hydra.sweeper.sampler.seed=1", LRS, "opt.weight_decay=interval(0, 1)")
    for count in (1, 2, 3):
        assert sweep(*short, *space, f"hydra.sweeper.n_trials={count}") == 0
    drawn = [tuple(trial.params.values()) for trial in study().trials]
    assert len(set(drawn)) == 3


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


def test_a_function_can_suggest_values_that_depend_on_others(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("spaces.py").write_text(
        "def decay(config, trial):\n"
        "    largest = trial.params['opt.lr'] / 10\n"
        "    trial.suggest_float('opt.weight_decay', largest / 2, largest)\n"
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    custom = "hydra.sweeper.custom_search_space=spaces.decay"
    assert sweep(LRS, custom, "hydra.sweeper.n_trials=3") == 0
    for trial in study().trials:
        rate, decay = trial.params["opt.lr"], trial.params["opt.weight_decay"]
        assert rate / 20 <= decay <= rate / 10
        assert f"weight_decay: {decay}\n" in Path(f"sweep/{trial.number}/config.yaml").read_text()


def test_several_measures_give_a_front(sweep: Sweep) -> None:
    status = sweep(
        "hydra/sweeper/pruner=none",
        "hydra.sweeper.n_trials=4",
        "hydra.sweeper.measures=[val_loss,parameters]",
        "dm.features=2,3,4,6",
    )
    assert status == 0
    found = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    assert [direction.name for direction in study().directions] == ["MINIMIZE", "MINIMIZE"]
    assert found["solutions"]
    for solution in found["solutions"]:
        recorded = result(solution["best_trial"])
        assert solution["values"] == [recorded["value"], recorded["parameters"]]
    assert Path("sweep/pictures/pareto_front.png").exists()


def test_after_the_timeout_no_trial_is_started(sweep: Sweep) -> None:
    assert sweep("hydra.sweeper.n_trials=500", "hydra.sweeper.timeout=2", LRS) == 0
    assert 1 <= len(study().trials) < 500


def test_a_sweep_in_which_most_trials_fail_stops(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    status = sweep("hydra.sweeper.n_trials=20", "opt.lr=1e38,1e37")
    assert status == 1
    assert len(study().trials) == 5
    assert study().trials[0].state is TrialState.FAIL
    assert "The training loss is" in study().trials[0].user_attrs["error"]
    assert "5 of 5 trials failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (
            ["opt.lr=interval(0, 1)", "dm.features=range(-1, 3)"],
            ["opt.lr must be > 0, got 0", "dm.features must be ≥ 1, got -1", "Trial: opt.lr=0"],
        ),
        (
            ["opt.optimizer_cls=SGD,Adan"],
            ["torch.optim has no 'Adan'", "opt.optimizer_cls=Adan"],
        ),
        ([LRS, "hydra.sweeper.direction=maximize"], ["what the run returns less is better"]),
        ([LRS, "hydra.sweeper.direction=minimise"], ["Did you mean 'minimize'?"]),
        ([LRS, "hydra.sweeper.n_trials=0"], ["hydra.sweeper.n_trials must be ≥ 1, got 0"]),
        (
            [LRS, "hydra.sweeper.timeout=-1", "hydra.sweeper.retries=-3"],
            ["hydra.sweeper.timeout must be > 0, got -1", "hydra.sweeper.retries must be ≥ 0"],
        ),
        ([], ["There is nothing to search, so all 20 trials would be the same"]),
        ([LRS, "opt.lr=interval(1e-4,1e-2)"], ["opt.lr is on the command line 2 times"]),
        ([LRS, "hydra/sweeper/pruner=wilcoxon"], ["give hydra.sweeper.seeds"]),
        (
            [LRS, "hydra.sweeper.pruner.n_warmup_steps=-5"],
            ["hydra/sweeper/pruner: MedianPruner refuses its options: Number of warmup steps"],
        ),
        (
            [LRS, "hydra/sweeper/sampler=motpe"],
            ["hydra/sweeper/sampler: ", "The 'motpe' sampler was removed in Optuna 4.0."],
        ),
        (
            [
                *(LRS, "dm.features=range(2,9,2)", "opt.optimizer_cls=SGD,Adan", "opt.warmup=0.1"),
                f"hydra.sweeper.enqueue=[{', '.join(BY_HAND_AND_WRONG)}]",
            ],
            [
                "enqueue[0].opt.lt: is not in the search space. Did you mean 'opt.lr'?",
                "enqueue[1].opt.lr: must be ≥ 0.0001, ≤ 0.1, got 5.",
                "enqueue[1].dm.features: must be 2 plus a multiple of 2, got 3.",
                "enqueue[2].opt.lr: must be a number, got high.",
                "enqueue[2].dm.features: must be a whole number, got 2.5.",
                "enqueue[2].opt.optimizer_cls: must be one of: SGD, Adan; got Adam.",
                "enqueue[3].opt.warmup: is fixed for all trials, opt.warmup=0.1. Leave it out.",
            ],
        ),
        (
            [LRS, "hydra.sweeper.seeds=[1,-1,1]"],
            ["hydra.sweeper.seeds[1] must be ≥ 0", "seeds has 1 twice"],
        ),
        ([LRS, "hydra.sweeper.seeds=[1,2]", "seed=3"], ["gives every trial its seeds"]),
        (
            [LRS, "hydra.sweeper.measures=[val_largest]"],
            ["the pruner would go by val_loss. Give training.monitor=val_largest"],
        ),
        (
            [LRS, "hydra/sweeper/pruner=none", "hydra.sweeper.measures=[val_losss,parameters]"],
            ["not known which way 'val_losss' is better", "Did you mean 'val_loss'?"],
        ),
        (
            [LRS, "hydra.sweeper.measures=[val_loss,parameters]"],
            ["with several there is no pruning"],
        ),
        ([LRS, "dm.featrues=1,2"], ["Key 'featrues' not in 'ToySets'", "ToySets has: features"]),
        ([LRS, "hydra.sweeper.storage=mysql://nowhere/x"], ["hydra.sweeper.storage=mysql"]),
    ],
)
def test_a_sweep_that_must_fail_fails_before_the_first_trial(
    sweep: Sweep, capsys: pytest.CaptureFixture[str], arguments: list[str], messages: list[str]
) -> None:
    assert sweep(*arguments) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    for message in messages:
        assert message in error
    assert not list(Path().glob("sweep/0"))


@pytest.mark.parametrize(
    ("chosen", "package"), [("sampler=cmaes", "cmaes"), ("pruner=wilcoxon", "scipy")]
)
def test_what_optuna_would_miss_in_the_middle_of_a_sweep_is_missed_before_it(
    sweep: Sweep,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    chosen: str,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert sweep(LRS, f"hydra/sweeper/{chosen}", "hydra.sweeper.seeds=[1,2]") == 2
    assert f"needs the package {package}, which is not installed" in capsys.readouterr().err
    assert not Path("sweep").exists()


def test_a_sweep_started_by_several_processes_is_refused(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert sweep(LRS) == 2
    assert "Leave out torchrun" in capsys.readouterr().err
    assert not Path("sweep").exists()


def test_trials_of_several_processes_are_refused(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = ("hydra/launcher=runwright_slurm", "hydra.launcher.tasks_per_node=2")
    assert sweep(LRS, *tasks) == 2
    assert "hydra.launcher.tasks_per_node=2" in capsys.readouterr().err
    assert not Path("sweep").exists()


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


def test_what_two_sweepers_queued_at_once_is_run_once(sweep: Sweep) -> None:
    queued = {"opt.lr": 0.01}
    together = optuna.create_study(study_name="sweep", storage=open_storage("sweep/study.log"))
    for _ in range(2):  # each found that there was no such trial
        together.enqueue_trial(queued, {BY_HAND: True})
    assert sweep("hydra.sweeper.n_trials=2", LRS, "hydra.sweeper.enqueue=[{opt.lr: 0.01}]") == 0
    trials = study().trials
    assert [t.state.name for t in trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert trials[1].user_attrs["error"] == "was queued twice"
    assert [trials[0].params, trials[2].params] != [queued, queued]


def test_what_was_queued_by_hand_is_composed_before_the_first_trial(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    features = ("dm=sets_but_not_of_3", "dm.features=range(2,5)")
    assert sweep(*features, "hydra.sweeper.enqueue=[{dm.features: 2},{dm.features: 3}]") == 2
    error = capsys.readouterr().err
    assert "dm.features must not be 3\n   Trial: dm.features=3 dm=sets_but_not_of_3" in error
    assert "(hydra.sweeper.enqueue[1])" in error
    assert not Path("sweep").exists()


def test_a_study_does_not_go_on_with_what_cannot_be_compared(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ("training.max_steps=1", "pictures=false", "hydra.sweeper.n_trials=1")
    assert sweep(*short, "opt.optimizer_cls=SGD,Adam") == 0
    assert sweep(*short, "opt.optimizer_cls=SGD,AdamW", "hydra.sweeper.n_trials=2") == 2
    error = capsys.readouterr().err
    assert "opt.optimizer_cls: trials of the study are from choice(SGD, Adam)" in error
    assert "choice(SGD, AdamW) now" in error
    assert "Take another hydra.sweeper.study_name than sweep." in error
    assert "Traceback" not in error
    assert len(study().trials) == 1


def at_every_line(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Do something after every validation."""
    line = RunLog.line

    def line_and_more(self: RunLog, step: int, measures: dict[str, float]) -> None:
        line(self, step, measures)
        do()

    monkeypatch.setattr(RunLog, "line", line_and_more)


def test_a_trial_whose_job_is_queued_again_stays_its_own(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGUSR2, signal.default_int_handler)  # submitit has one there
    at_every_line(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGUSR2))
    try:
        with pytest.raises(SystemExit) as end:
            sweep("hydra.sweeper.n_trials=1", LRS)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert end.value.code == REQUEUE
    (trial,) = study().trials
    assert trial.state is TrialState.RUNNING
    # Another sweeper on this host must not take it for dead when this process is gone.
    assert trial.user_attrs[ALIVE][2] is None


@pytest.fixture
def stopped(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A sweep of one trial that was stopped with Ctrl-C after the first epoch of two."""
    with monkeypatch.context() as context:
        at_every_line(context, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert sweep("hydra.sweeper.n_trials=1", LRS) == INTERRUPTED
    return sweep


def test_a_trial_goes_on_with_what_it_was_begun_with(
    stopped: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stopped("hydra.sweeper.n_trials=2", LRS, "training.epochs=3") == 0
    assert "Trial 1 goes on with what it was begun with: opt.lr=" in capsys.readouterr().out
    assert [trial.state.name for trial in study().trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert result(0)["steps"] == 16
    assert result(2)["steps"] == 24


def test_a_sweep_whose_only_trial_is_given_up_has_failed(
    stopped: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    found = study()
    trial = found.ask()  # by a process that is gone
    trial.set_user_attr(ALIVE, [0.0, "elsewhere", 1])
    assert stopped("hydra.sweeper.n_trials=1", LRS, "hydra.sweeper.retries=0") == 1
    said = capsys.readouterr()
    assert "Trial 1: nobody looks after it; given up." in said.out
    assert "1 of 1 trials failed" in said.err


def test_a_storage_that_is_gone_for_good_ends_the_sweep_in_a_sentence(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storage, "_PAUSES", ())
    at_every_line(monkeypatch, lambda: Path("sweep/study.log").unlink(missing_ok=True))
    assert sweep("hydra.sweeper.n_trials=1", LRS) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "study.log is out of reach: " in error
    assert "When it answers again: python" in error


def test_a_best_trial_that_is_not_searched_any_more_is_said_to_be_from_before(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    better = "hydra.sweeper.enqueue=[{opt.lr: 0.05}]"
    assert sweep("hydra.sweeper.n_trials=1", LRS, better) == 0
    assert "from before" not in capsys.readouterr().out
    assert sweep("hydra.sweeper.n_trials=2", "opt.lr=tag(log,interval(1e-6,1e-5))") == 0
    assert "Trial 0, which is the best, is from before: opt.lr=0.05" in capsys.readouterr().out
    assert sweep("hydra.sweeper.n_trials=3", "opt.weight_decay=interval(0,1)") == 0
    said = capsys.readouterr().out
    assert "opt.lr was searched by trials that this study has had before; no longer." in said


def test_a_mistake_that_all_corners_make_is_told_once(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(LRS, "opt.lrr=interval(1e-4,1e-3)", "dm.features=range(2,5)") == 2
    assert capsys.readouterr().err.count("Key 'lrr' not in") == 1


@pytest.mark.slow
def test_the_search_of_the_readme_runs_side_by_side(run_main: Run, tmp_path: Path) -> None:
    done = run_main(
        "--multirun",
        "hydra/sweeper=fcn_params_pruned",
        "hydra.sweep.dir=sweep",
        "hydra.sweeper.n_trials=6",
        "model.hidden_dim=16",
        "training.epochs=2",
        "pictures=false",
        "gpu=-1",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert len(study(tmp_path / "sweep", "fcn_params_pruned").trials) == 6
    assert "Traceback" not in done.stderr
