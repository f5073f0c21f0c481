"""A study begins with the trials of another, to which choices have been added."""

from pathlib import Path
from typing import Literal

import optuna
import pytest
from optuna.trial import TrialState

from runwright import ConfigError, UserError
from runwright.sweep.growing import may_take_over, take_over
from runwright.sweep.space import SearchSpace
from runwright.sweep.storage import open_storage
from runwright.sweep.study import DIRECTORY, load
from sweep.conftest import Sweep, study

SHORT = ("training.max_steps=1", "hydra/sweeper/sampler=random")


def space(*arguments: str) -> SearchSpace:
    return SearchSpace.parse({}, {}, arguments)


@pytest.fixture
def where(tmp_path: Path) -> str:
    """A storage with a study `old` of three trials, of which one failed."""
    where = f"{tmp_path}/study.log"
    old = optuna.create_study(study_name="old", storage=open_storage(where), direction="maximize")
    for lr, state in ((0.1, True), (0.2, False), (0.2, True)):
        old.enqueue_trial({"opt.lr": lr})
        trial = old.ask()
        trial.suggest_categorical("opt.lr", [0.1, 0.2])
        trial.report(lr, 1)
        trial.set_user_attr(DIRECTORY, f"run {trial.number}")
        old.tell(trial, lr if state else None, TrialState.COMPLETE if state else TrialState.FAIL)
    return where


def new(
    where: str, name: str = "new", direction: Literal["maximize", "minimize"] = "maximize"
) -> optuna.Study:
    return optuna.create_study(
        study_name=name, storage=open_storage(where), direction=direction, load_if_exists=True
    )


def test_all_trials_come_over_in_order_with_the_new_choices(where: str) -> None:
    grown = new(where)
    assert take_over(grown, where, "old", space("opt.lr=0.1,0.2,0.3"), 60) == 3
    before, after = load(where, "old").trials, grown.trials
    assert [trial.state for trial in after] == [trial.state for trial in before]
    assert [trial.params for trial in after] == [trial.params for trial in before]
    assert [trial.values for trial in after] == [trial.values for trial in before]
    assert [trial.user_attrs for trial in after] == [trial.user_attrs for trial in before]
    assert [trial.duration for trial in after] == [trial.duration for trial in before]
    assert after[0].intermediate_values == {1: 0.1}
    more = grown.ask()
    assert more.suggest_categorical("opt.lr", [0.1, 0.2, 0.3]) in (0.1, 0.2, 0.3)
    assert take_over(grown, where, "old", space("opt.lr=0.1,0.2,0.3"), 60) == 0


def test_choices_may_give_way_to_a_range_that_has_them(where: str) -> None:
    grown = new(where)
    take_over(grown, where, "old", space("opt.lr=interval(0.05,0.5)"), 60)
    assert isinstance(
        grown.trials[0].distributions["opt.lr"], optuna.distributions.FloatDistribution
    )


def test_a_choice_that_trials_have_may_not_be_taken_away(where: str) -> None:
    fewer = space("opt.lr=0.1,0.3")
    assert not may_take_over(load(where, "old"), fewer)
    assert may_take_over(load(where, "old"), space("opt.lr=0.3,0.2,0.1"))
    with pytest.raises(ConfigError, match=r"one of: 0\.1, 0\.3; got 0\.2 \(trials 1, 2\)\."):
        take_over(new(where), where, "old", fewer, 60)
    assert not new(where).trials


def test_an_option_that_is_no_longer_searched_stays_as_it_was(where: str) -> None:
    grown = new(where)
    take_over(grown, where, "old", space("opt.weight_decay=0,1"), 60)
    assert grown.trials[0].distributions == load(where, "old").trials[0].distributions


def test_a_study_that_cannot_be_taken_over_is_refused(where: str) -> None:
    values = space("opt.lr=0.1,0.2,0.3")
    with pytest.raises(UserError, match="no other study of that name where new is. Did you mean"):
        take_over(new(where), where, "odl", values, 60)
    with pytest.raises(UserError, match="that study is to maximize, and this one is not"):
        take_over(new(where, "other way", "minimize"), where, "old", values, 60)
    on_grid = new(where)
    on_grid.sampler = optuna.samplers.GridSampler({"opt.lr": [0.1]})
    with pytest.raises(UserError, match="a grid does not know"):
        take_over(on_grid, where, "old", values, 60)
    running = load(where, "old").ask()
    with pytest.raises(UserError, match=f"trial {running.number} of it is running"):
        take_over(new(where), where, "old", values, 60)
    begun = new(where, "begun")
    begun.ask()
    with pytest.raises(UserError, match="has 1 trials of its own"):
        take_over(begun, where, "old", values, 60)


def test_a_sweep_says_how_its_choices_grow_and_grows_them(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(*SHORT, "opt.lr=1e-3,1e-2", "hydra.sweeper.n_trials=2") == 0
    more = (*SHORT, "opt.lr=1e-3,1e-2,1e-1", "hydra.sweeper.n_trials=4")
    assert sweep(*more) == 2
    told = capsys.readouterr().err
    assert (
        "Use a hydra.sweeper.study_name other than sweep. With hydra.sweeper.from_study=sw" in told
    )
    for _ in range(2):
        assert sweep(*more, "hydra.sweeper.study_name=more", "hydra.sweeper.from_study=sweep") == 0
        grown = study(name="more").trials
        assert [trial.number for trial in grown] == [0, 1, 2, 3]
        assert [trial.params for trial in grown[:2]] == [trial.params for trial in study().trials]
        assert grown[3].user_attrs[DIRECTORY].endswith("/3")
