"""Sweeps that are started again, and studies that several sweepers share."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
import yaml
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from optuna.trial import TrialState
from typing_extensions import override

from runwright import UserError
from runwright.caller import REQUEUE
from runwright.cli.basic_launcher import BasicLauncher
from runwright.cli.exit_status import INTERRUPTED
from runwright.sweep import storage
from runwright.sweep.distributions import value_of
from runwright.sweep.heartbeat import HEARTBEAT
from runwright.sweep.study import ENQUEUED, open_storage
from sweep.conftest import LRS, Sweep, at_every_line, result, study


def test_the_same_command_goes_on_where_it_was(sweep: Sweep) -> None:
    short = "training.max_steps=1"
    assert sweep("hydra.sweeper.n_trials=1", LRS, short) == 0
    before = Path("sweep/0/metrics.csv").read_bytes()
    for _ in range(2):
        assert sweep("hydra.sweeper.n_trials=3", LRS, short) == 0
        assert [trial.number for trial in study().trials] == [0, 1, 2]
    assert Path("sweep/0/metrics.csv").read_bytes() == before


def test_a_sweep_that_goes_on_draws_other_values_than_before(sweep: Sweep) -> None:
    short = ("training.max_steps=1", "hydra/sweeper/sampler=nsgaii")
    space = ("hydra.sweeper.sampler.seed=1", LRS, "opt.weight_decay=interval(0, 1)")
    for count in (1, 2, 3):
        assert sweep(*short, *space, f"hydra.sweeper.n_trials={count}") == 0
    drawn = [tuple(trial.params.values()) for trial in study().trials]
    assert len(set(drawn)) == 3


def test_what_two_sweepers_queued_at_once_is_run_once(sweep: Sweep) -> None:
    queued = {"opt.lr": 0.01}
    together = optuna.create_study(study_name="sweep", storage=open_storage("sweep/study.log"))
    for _ in range(2):  # each found that there was no such trial
        together.enqueue_trial(queued, {ENQUEUED: True})
    assert sweep("hydra.sweeper.n_trials=2", LRS, "hydra.sweeper.enqueue=[{opt.lr: 0.01}]") == 0
    trials = study().trials
    assert [t.state.name for t in trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert trials[1].user_attrs["error"] == "was queued twice"
    assert [trials[0].params, trials[2].params] != [queued, queued]


def test_a_study_does_not_go_on_with_what_cannot_be_compared(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    short = "training.max_steps=1"
    assert sweep(short, "opt.optimizer_cls=SGD,Adam", "hydra.sweeper.n_trials=1") == 0
    assert sweep(short, "opt.optimizer_cls=SGD,AdamW", "hydra.sweeper.n_trials=2") == 2
    error = capsys.readouterr().err
    assert (
        "opt.optimizer_cls: earlier trials of the study sampled it from choice(SGD, Adam)" in error
    )
    assert "now it is choice(SGD, AdamW)" in error
    assert "Use a hydra.sweeper.study_name other than sweep." in error
    assert "Traceback" not in error
    assert len(study().trials) == 1


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
    assert trial.user_attrs[HEARTBEAT][2] is None


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
    assert (
        "Trial 1 continues with the options that it was started with: opt.lr="
        in capsys.readouterr().out
    )
    assert [trial.state.name for trial in study().trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert result(0)["steps"] == 16
    assert result(2)["steps"] == 24


def test_the_command_to_go_on_is_that_of_the_sweep(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_every_line(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert sweep("hydra.sweeper.n_trials=1", LRS) == INTERRUPTED
    said = capsys.readouterr().out
    commands = {
        line.partition("To resume: ")[2] for line in said.splitlines() if "To resume" in line
    }
    (command,) = commands
    assert "--multirun" in command
    assert command.endswith(f"hydra.sweep.dir={Path('sweep').resolve()}") or "=sweep" in command


class Refusing(BasicLauncher):
    """A launcher whose submissions are refused while there is a file."""

    @override
    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        if Path("refuses").exists():
            raise UserError("hydra.launcher.partition=nowhere: there is no such partition.")
        return super().launch(job_overrides, initial_job_idx)


def test_a_trial_whose_submission_was_refused_is_run_with_the_options_that_follow(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    Plugins.instance().register(Refusing)
    launcher = f"hydra.launcher._target_={__name__}.Refusing"
    space = ("hydra.sweeper.n_trials=1", LRS, launcher, "hydra.sweeper.enqueue=[{opt.lr: 0.01}]")
    Path("refuses").touch()
    assert sweep(*space, "training.max_steps=3") == 2
    assert "there is no such partition" in capsys.readouterr().err
    assert TrialState.RUNNING not in {trial.state for trial in study().trials}
    Path("refuses").unlink()
    assert sweep(*space, "training.max_steps=2") == 0
    (trial,) = study().get_trials(states=[TrialState.COMPLETE])
    assert trial.params == {"opt.lr": 0.01}
    assert result(trial.number)["steps"] == 2


def test_a_sweep_whose_only_trial_is_given_up_has_failed(
    stopped: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    found = study()
    trial = found.ask()  # by a process that is gone
    trial.set_user_attr(HEARTBEAT, [0.0, "elsewhere", 1])
    assert stopped("hydra.sweeper.n_trials=1", LRS, "hydra.sweeper.retries=0") == 1
    said = capsys.readouterr()
    assert "Trial 1 has lost its process; given up." in said.out
    assert "1 of 1 trials failed" in said.err


def test_a_storage_that_is_gone_for_good_ends_the_sweep_in_a_sentence(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storage, "_PAUSES", ())
    at_every_line(monkeypatch, lambda: Path("sweep/study.log").unlink(missing_ok=True))
    assert sweep("hydra.sweeper.n_trials=1", LRS) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "study.log is unreachable: " in error
    assert "Once it answers again: python" in error


def test_values_that_are_no_numbers_are_recorded_as_they_are(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    kwargs = "{betas: [0.9, 0.95]}"
    values = ("training.monitor=null,val_loss", f"opt.optimizer_kwargs={kwargs},null")
    best = f"{{training.monitor: null, opt.optimizer_kwargs: {kwargs}}}"
    counts = ("hydra.sweeper.n_trials=1", f"hydra.sweeper.enqueue=[{best}]")
    assert sweep(*counts, *values, "training.max_steps=1") == 0
    assert "from before" not in capsys.readouterr().out
    found = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    assert found["best_params"] == {
        "training.monitor": None,
        "opt.optimizer_kwargs": {"betas": [0.9, 0.95]},
    }


def test_measures_are_compared_across_trials_that_return_different_ones(sweep: Sweep) -> None:
    measures = ("hydra/sweeper/pruner=none", "hydra.sweeper.measures=[val_loss,parameters]")
    values = ("training.monitor=val_loss,val_largest", "training.max_steps=1")
    assert sweep("hydra.sweeper.n_trials=1", *measures, *values) == 0


def test_the_keys_of_a_dictionary_are_recorded_as_they_are() -> None:
    assert value_of("{3: 0, 8: 1}") == {3: 0, 8: 1}
    assert value_of("{a: {1: null}}") == {"a": {1: None}}


def test_a_best_trial_that_is_not_searched_any_more_is_said_to_be_from_before(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    better = "hydra.sweeper.enqueue=[{opt.lr: 0.05}]"
    assert sweep("hydra.sweeper.n_trials=1", LRS, better) == 0
    assert "from before" not in capsys.readouterr().out
    assert sweep("hydra.sweeper.n_trials=2", "opt.lr=tag(log,interval(1e-6,1e-5))") == 0
    assert "Trial 0, the best one, is from before: opt.lr=0.05" in capsys.readouterr().out
    assert sweep("hydra.sweeper.n_trials=3", "opt.weight_decay=interval(0,1)") == 0
    said = capsys.readouterr().out
    assert "opt.lr was searched by earlier trials of this study, and no longer is." in said
