"""What is built to look for more mistakes follows from what the command line gives."""

import pytest

from conftest import REPOSITORY
from runwright import compose
from runwright.cli.needs_building import needs_building

CONF = REPOSITORY / "conf"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model=cnn", "seed=1", "opt.lr=0.1", "opt.schedule=step", "training.epochs=3"], False),
        (["checkpoint.load=elsewhere", "dm.root=elsewhere", "wandb.name=mine"], False),
        (["model=cnn", "model.kernel_size=3"], True),
        (["opt.optimizer_cls=SGD"], True),
        (["wandb.mode=online"], True),
        (["tensorboard=true"], True),
        (["opt.optimizer_kwargs={momentum: 0.9}"], True),
        (["opt.no_decay=[bias]"], True),
        (["dm.num_colors=2"], True),
        (["training.monitor=val_loss"], True),
        (["finetune.checkpoint=weights.pt"], True),
        (["+model.kernel_size=3"], True),
        (["model.kernel_sise=3", "opt.lrr=1"], False),
    ],
    ids=str,
)
def test_only_what_building_judges_is_worth_building(
    overrides: list[str], *, expected: bool
) -> None:
    parts = vars(compose(["model=cnn"], conf=CONF))
    assert needs_building(parts, overrides) is expected


def test_an_option_that_is_wrong_by_itself_is_no_reason_to_build() -> None:
    parts = vars(compose(["model=cnn"], conf=CONF))
    right = {name: part for name, part in parts.items() if name != "model"}
    assert not needs_building(right, ["model.kernel_size=0"])
