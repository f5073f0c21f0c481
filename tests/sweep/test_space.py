"""What a search space samples, and what is refused in it."""

import optuna
import pytest

from runwright.errors import ConfigError
from runwright.sweep.checks import check_space
from runwright.sweep.space import SearchSpace
from runwright.sweep.sweeper_cfg import SweeperCfg

PARAMS = {
    "opt.lr": "tag(log, interval(1.e-5, 1.e-3))",
    "model.num_hidden": "range(1, 4)",
    "model.norm": "LN,BN",
}


def sampled(space: SearchSpace, number: int = 30) -> list[dict[str, object]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.suggest(study.ask()) for _ in range(number)]


def test_every_kind_of_range_is_sampled_within_its_bounds() -> None:
    space = SearchSpace.parse(PARAMS, {}, ["training.epochs=2", "~wandb"])
    for values in sampled(space):
        assert 1e-5 <= values["opt.lr"] <= 1e-3  # pyright: ignore[reportOperatorIssue]
        assert values["model.num_hidden"] in {1, 2, 3}
        assert values["model.norm"] in {"LN", "BN"}
    overrides = space.overrides({"opt.lr": 1e-5, "model.norm": "LN"})
    assert overrides == ["opt.lr=1e-05", "model.norm=LN", "training.epochs=2", "~wandb"]


def test_the_command_line_fixes_what_the_file_would_sample() -> None:
    space = SearchSpace.parse(PARAMS, {}, ["model.num_hidden=2"])
    assert "model.num_hidden" not in space.distributions
    assert space.fixed == {"model.num_hidden": "2"}


def test_the_command_line_searches_what_the_file_would_fix() -> None:
    space = SearchSpace.parse({"model.num_hidden": "2"}, {}, ["model.num_hidden=range(1,4)"])
    assert "model.num_hidden" in space.distributions
    assert space.fixed == {}


def test_an_option_is_not_searched_and_fixed_at_once() -> None:
    with pytest.raises(ConfigError, match=r"opt\.lr is on the command line twice"):
        SearchSpace.parse({}, {}, ["opt.lr=interval(0.1, 1)", "opt.lr=0.2"])


def test_conditions_hold_where_their_value_was_sampled_also_below_each_other() -> None:
    when = {
        "model=fcn": {"model.norm": "LN,BN", "model.hidden_dim": "range(10, 20)"},
        "model.norm=BN": {"dm.batch_size": "32,64"},
        "model=cnn": {"model.kernel_size": "3,5"},
    }
    space = SearchSpace.parse({"model": "fcn,cnn"}, when, [])
    seen = set[frozenset[str]]()
    for values in sampled(space, 60):
        seen.add(frozenset(values))
        assert ("model.kernel_size" in values) == (values["model"] == "cnn")
        assert ("dm.batch_size" in values) == (values.get("model.norm") == "BN")
    assert len(seen) == 3


def test_a_condition_on_what_the_command_line_fixes_holds_always() -> None:
    space = SearchSpace.parse({}, {"model=cnn": {"model.kernel_size": "3,5"}}, ["model=cnn"])
    assert {values["model.kernel_size"] for values in sampled(space)} == {3, 5}


@pytest.mark.parametrize(
    ("fixed", "condition"),
    [
        ("true", "model.batch_norm=true"),
        ("True", "model.batch_norm=true"),
        ("true", "model.batch_norm=True"),
        ("yes", "model.batch_norm=true"),
        ("'true'", "model.batch_norm=true"),
        ("1e-3", "model.batch_norm=0.001"),
        ("null", "model.batch_norm=null"),
        ("'a b'", "model.batch_norm=a b"),
        ("[1,2]", "model.batch_norm=[1, 2]"),
    ],
)
def test_a_condition_compares_values_and_not_how_they_are_written(
    fixed: str, condition: str
) -> None:
    when = {condition: {"opt.lr": "1,2"}}
    given = SearchSpace.parse({"model.batch_norm": fixed}, when, [])
    assert all("opt.lr" in values for values in sampled(given, 3))
    typed = SearchSpace.parse({}, when, [f"++model.batch_norm={fixed}"])
    assert all("opt.lr" in values for values in sampled(typed, 3))
    searched = SearchSpace.parse({"model.batch_norm": f"{fixed},other"}, when, [])
    for values in sampled(searched, 20):
        assert ("opt.lr" in values) == (values["model.batch_norm"] != "other")


def test_a_condition_on_steps_holds_in_spite_of_rounding() -> None:
    space = SearchSpace.parse({"a": "range(0.1, 0.5, 0.1)"}, {"a=0.3": {"b": "1,2"}}, [])
    found = {round(values["a"], 3): "b" in values for values in sampled(space, 60)}  # pyright: ignore[reportArgumentType,reportCallIssue]
    assert found == {0.1: False, 0.2: False, 0.3: True, 0.4: False}


@pytest.mark.parametrize("sign", ["+", "++"])
def test_a_plus_on_the_command_line_fixes_what_is_searched_all_the_same(sign: str) -> None:
    space = SearchSpace.parse(
        PARAMS, {"model.norm=BN": {"opt.momentum": "0,1"}}, [f"{sign}opt.lr=1"]
    )
    assert set(space.distributions) == {"model.num_hidden", "model.norm"}
    searched = SearchSpace.parse(PARAMS, {}, [f"{sign}opt.lr=1,2"])
    assert set(searched.distributions) == {"model.num_hidden", "model.norm", f"{sign}opt.lr"}
    with pytest.raises(ConfigError, match="is on the command line twice"):
        SearchSpace.parse({}, {}, ["opt.lr=1,2", f"{sign}opt.lr=1"])


def test_all_corners_are_tried_where_they_are_few() -> None:
    space = SearchSpace.parse(PARAMS, {"model.norm=BN": {"dm.batch_size": "32,64"}}, [])
    corners = space.corners()
    assert len(corners) == 2 * 2 * (1 + 2)
    assert {values["opt.lr"] for values in corners} == {1e-5, 1e-3}
    assert {values["model.num_hidden"] for values in corners} == {1, 3}


def test_every_end_and_every_choice_is_tried_where_corners_are_many() -> None:
    params = {f"option_{i}": "range(0, 10)" for i in range(12)} | {"choice": "a,b,c,d,e"}
    corners = SearchSpace.parse(params, {}, []).corners()
    assert len(corners) <= 64
    for i in range(12):
        assert {values[f"option_{i}"] for values in corners} == {0, 9}
    assert {values["choice"] for values in corners} == set("abcde")


@pytest.mark.parametrize(
    ("params", "when", "message"),
    [
        ({"a": "1,2"}, {"a=3": {"b": "1,2"}}, "'a' is never 3, but one of: 1, 2"),
        ({"a": "1,2"}, {"c=3": {"b": "1,2"}}, "'c' is neither sampled nor on the command line"),
        ({"a": "1,2"}, {"a": {"b": "1,2"}}, "must be of the form option=value"),
        ({"a": "1,2"}, {"a=1": {"a": "1,2"}}, "'a' is sampled in every trial already"),
        ({"a": "range(1, 1)"}, {}, r"params\.a: .*must contain at least one value"),
        ({"a": "interval(2, 1)"}, {}, r"params\.a: `low <= high` must hold"),
        ({"a": "interval(0, 1)"}, {"a=0.5": {"b": "1,2"}}, "'a' is drawn from an interval"),
        ({"a": "tag(log, range(1, 100))"}, {}, r"only an interval can be sampled on a log scale"),
        ({"a": "tag(lag, interval(1, 100))"}, {}, r"tag 'lag' means nothing. Did you mean 'log'"),
        ({"a": "shuffle(1, 2)"}, {}, r"leave out shuffle"),
        ({"a": "0.5,1,1.0"}, {}, "has 1.0 twice, or a value that counts as equal to it"),
        ({"a": "range(1,3),range(5,7)"}, {}, "several ranges or intervals"),
        (
            {"a.b": "1,2", "a": "{b: 3}"},
            {},
            r"a={b:3} sets everything in it, but a\.b is searched",
        ),
        ({"a": "glob(*)"}, {}, "give the values one by one"),
        ({"a": "x(", "b": "interval(2, 1)"}, {}, r"(?s)params\.a.*params\.b"),
        (
            {"a": "1,2"},
            {"a=1": {"b": "3,4"}, "a=2": {"b": "interval(3,4)"}},
            r"b is choice\(3, 4\) in one place and interval\(3\.0, 4\.0\) in another",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(
    params: dict[str, str], when: dict[str, dict[str, str]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        SearchSpace.parse(params, when, [])


def test_a_grid_that_no_memory_holds_is_refused() -> None:
    space = SearchSpace.parse({"a": "range(1,1e9)", "b": "1,2"}, {}, [])
    assert space.size() == 2 * 999_999_999
    with pytest.raises(ConfigError, match="the grid has 1,999,999,998 points, and at most 1,000,0"):
        space.grid()


def test_a_grid_takes_no_continuous_option() -> None:
    with pytest.raises(ConfigError, match=r"params\.opt\.lr: a grid needs values"):
        SearchSpace.parse(PARAMS, {}, []).grid()
    space = SearchSpace.parse({"a": "1,2", "b": "range(1, 4)", "c": "range(0, 1, 0.25)"}, {}, [])
    assert space.grid() == {"a": [1, 2], "b": [1, 2, 3], "c": [0.0, 0.25, 0.5, 0.75]}
    assert space.size() == 24
    assert SearchSpace.parse({"a": "range(0.1, 0.5, 0.1)"}, {}, []).grid() == {
        "a": [0.1, 0.2, 0.3, 0.4]
    }


def test_what_is_queued_by_hand_becomes_what_the_space_has() -> None:
    when = {"model=fcn": {"model.hidden_dim": "range(10, 20)"}, "model=cnn": {"opt.lr": "1,2"}}
    params = {"model": "fcn,cnn", "dm.name": "'a b',null,true", "model.dropout": "interval(0, 1)"}
    space = SearchSpace.parse(params, when, [])
    by_hand = [
        {"dm.name": "a b", "model.dropout": 1},
        {"dm.name": None, "model.hidden_dim": 12.0},
        {"dm.name": "true", "model": "cnn", "opt.lr": 2.0},
    ]
    queued = check_space(SweeperCfg(enqueue=by_hand), space)
    assert queued[0] == {"dm.name": "'a b'", "model.dropout": 1.0}
    assert queued[1] == {"dm.name": "null", "model.hidden_dim": 12}
    assert queued[2] == {"dm.name": True, "model": "cnn", "opt.lr": 2}
    for values in queued:
        assert {type(values[name]) for name in values} <= {str, float, int, bool}
    beside = [{"model": "cnn", "model.hidden_dim": 12}]
    with pytest.raises(ConfigError, match=r"hidden_dim: is searched only with model=fcn\."):
        check_space(SweeperCfg(enqueue=beside), space)
