"""A configuration can choose only a registered function."""

import sys
from pathlib import Path
from typing import Any

import pytest

from runwright import UserError, search_space
from runwright.custom_search_space import registered
from sweep.conftest import LRS, Sweep, study


@search_space("decay_below_lr")
def decay(config: Any, trial: Any) -> None:
    largest = trial.params["opt.lr"] / 10
    trial.suggest_float("opt.weight_decay", largest / 2, largest)


def test_a_function_can_suggest_values_that_depend_on_others(sweep: Sweep) -> None:
    custom = "hydra.sweeper.custom_search_space=decay_below_lr"
    assert sweep(LRS, custom, "hydra.sweeper.n_trials=2", "training.max_steps=1") == 0
    for trial in study().trials:
        rate, chosen = trial.params["opt.lr"], trial.params["opt.weight_decay"]
        assert rate / 20 <= chosen <= rate / 10
        assert f"weight_decay: {chosen}\n" in Path(f"sweep/{trial.number}/config.yaml").read_text()


def test_another_function_is_never_imported(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("spaces.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    assert sweep(LRS, "hydra.sweeper.custom_search_space=spaces.decay") == 2
    error = capsys.readouterr().err
    assert "custom_search_space=spaces.decay: no function is registered under that name." in error
    assert '@search_space("decay") above the function' in error
    assert "spaces" not in sys.modules


def test_the_nearest_name_is_told() -> None:
    assert registered(None) is None
    assert registered("decay_below_lr") is decay
    with pytest.raises(UserError, match="Did you mean 'decay_below_lr'"):
        registered("decay_below")


def test_a_name_is_taken_once() -> None:
    assert search_space("decay_below_lr")(decay) is decay  # as in a notebook cell that is run twice
    with pytest.raises(TypeError, match=r"custom_search_space=decay_below_lr is already decay in "):

        @search_space("decay_below_lr")
        def other(config: Any, trial: Any) -> None: ...
