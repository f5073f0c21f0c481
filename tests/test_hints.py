"""Values given in Python are checked as strictly as composed ones."""

from pathlib import Path
from typing import Any, get_args

import pytest

from runwright import ConfigError, UserError, compose
from runwright.config import CheckpointCfg, Config, TrainingCfg
from runwright.domains.vision.choices import (
    ClassificationFactory,
    ColoredMNISTDataModule,
    FcnFactory,
)
from runwright.factory import Settings, mistyped, option, settings
from runwright.optimizers import TorchOptimizer
from runwright.optimizers.schedules import ScheduleName


def config(**options: Any) -> Config:
    given: dict[str, Any] = {
        "dm": ColoredMNISTDataModule(),
        "model": FcnFactory(),
        "objective": ClassificationFactory(),
        "gpu": -1,
    }
    return Config(**(given | options))


def test_all_that_has_another_type_is_told_together_with_full_keys(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {
        "opt": TorchOptimizer(schedule="Linear", lr="a"),  # pyright: ignore[reportArgumentType]
        "training": TrainingCfg(epochs=2.0, precision=16),  # pyright: ignore[reportArgumentType]
        "model": FcnFactory(norm="bn", final_bias=1),  # pyright: ignore[reportArgumentType]
        "checkpoint": CheckpointCfg(load="here"),  # pyright: ignore[reportArgumentType]
        "dm": ColoredMNISTDataModule(source="nist"),  # pyright: ignore[reportArgumentType]
        "objective": ClassificationFactory(class_weights=["a"]),  # pyright: ignore[reportArgumentType]
        "seed": True,
        "stage": "fitt",
    }
    schedules = ", ".join(get_args(ScheduleName))
    with pytest.raises(ConfigError) as caught:
        config(**wrong).run(tmp_path / "run")
    assert set(caught.value.problems) == {
        f"opt.schedule cannot be 'Linear'. Did you mean 'linear'? Allowed: {schedules}.",
        "opt.lr must be float, got 'a'",
        "training.epochs must be int | None, got 2.0",
        "training.precision cannot be 16. Did you mean 'fp16'? Allowed: fp32, bf16, fp16.",
        "model.norm cannot be 'bn'. Did you mean 'NormType.BN'? Allowed: NormType.LN, NormType.BN.",
        "model.final_bias must be bool, got 1",
        "checkpoint.load must be Path | None, got 'here'",
        "dm.source cannot be 'nist'. Did you mean 'mnist'? Allowed: bundled, mnist.",
        "objective.class_weights must be list[float] | None, got ['a']",
        "seed must be int, got True",
        "stage must be Stage, got 'fitt'",
    }
    assert not (tmp_path / "run").exists()


def test_what_is_right_is_looked_at_beside_what_has_another_type() -> None:
    wrong = config(
        opt=TorchOptimizer(lr=None),  # pyright: ignore[reportArgumentType]
        model=FcnFactory(),
        training=TrainingCfg(monitor="val_acuracy"),
    )
    with pytest.raises(ConfigError) as caught:
        wrong.run()
    first, second = caught.value.problems
    assert first == "opt.lr must be float, got None"
    assert "Did you mean 'val_accuracy'?" in second


def test_a_part_of_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"^model must be ModelFactory, got None$"):
        config(model=None).run()


@pytest.mark.parametrize(
    "overrides",
    [
        ["dm=cmnist", "model=cnn", "objective.class_weights=[1,2,3,4,5,6,7,8,9,1]"],
        ["dm=celeba", "model=resnet", "dm.root=/nowhere"],
        ["dm=cmnist", "model=fcn", "opt.lr=1", "dm.label_map={1:0,2:1}", "training.val_every=3"],
        ["dm=cmnist", "model=fcn", "opt.optimizer_kwargs={betas:[0.9,0.95]}"],
    ],
)
def test_what_was_composed_has_the_right_types(overrides: list[str]) -> None:
    assert mistyped(compose(overrides)) == {}


def test_an_int_does_for_a_float_and_a_bool_does_not() -> None:
    assert mistyped(TorchOptimizer(lr=1, weight_decay=0)) == {}
    assert list(mistyped(TorchOptimizer(lr=True))) == ["lr"]


def test_a_rule_that_relies_on_a_type_leaves_it_to_that_to_be_told() -> None:
    text = "must be dict[str, typing.Any] | None, got 3"
    options = TorchOptimizer(optimizer_kwargs=3)  # pyright: ignore[reportArgumentType]
    assert mistyped(options, "opt") == {"opt.optimizer_kwargs": f"opt.optimizer_kwargs {text}"}


@settings
class Nested(Settings):
    """Options in lists and tuples."""

    pair: tuple[int, int] = option(default=(1, 2), doc="two numbers")
    parts: list[TorchOptimizer] = option(default=[], doc="options of their own")
    by_name: dict[str, int] = option(default={}, doc="numbers by name")


def test_what_is_in_containers_is_looked_at() -> None:
    right = Nested(pair=[3, 4], parts=(TorchOptimizer(),), by_name={"a": 1})  # pyright: ignore[reportArgumentType]
    assert mistyped(right) == {}
    wrong = Nested(pair=(1, "b"), parts=[TorchOptimizer(lr="a")], by_name={"a": 1.5})  # pyright: ignore[reportArgumentType]
    assert list(mistyped(wrong)) == ["pair", "parts.0.lr", "by_name"]


def test_an_unknown_schedule_has_no_course() -> None:
    options = TorchOptimizer(schedule="Linear")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match=r"opt\.schedule cannot be 'Linear'. Did you mean 'linear'"):
        options.lr_factor(10, 10)
