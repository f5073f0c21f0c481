"""A sharded model trains as a whole one does, and is whole on disk."""

import pytest

from conftest import REPOSITORY, last_of_each
from programs import run_python
from torchrun import (
    OPTIONS,
    finish,
    kill,
    last_weights,
    measures,
    start_copies,
    wait_for_checkpoint,
)

pytestmark = pytest.mark.slow

# Three batches to validate: one process has two of them, the other one.
FCN = (
    *("model=fcn", "model.hidden_dim=64", "model.num_hidden=2", "training.limit_val_batches=3"),
    *("opt.weight_decay=0.01", "training.clip_grad=1", "training.ema_decay=0.9"),
)
FSDP = (*FCN, "training.parallel=fsdp")


def alone(*arguments: str) -> None:
    options = last_of_each(*OPTIONS, *FCN, *arguments)
    run_python(REPOSITORY / "main.py", *options, check=True)


def test_it_measures_what_one_process_does() -> None:
    accumulate = "training.accumulate_grad_batches=2"
    finish(start_copies(*FSDP, accumulate, "hydra.run.dir=two"))
    alone(accumulate, "hydra.run.dir=one")
    one, two = measures("one"), measures("two")
    assert len(one) == len(two)
    for left, right in zip(one, two, strict=True):
        assert left == pytest.approx(right, rel=1e-4)


def test_it_goes_on_exactly_after_a_kill_and_then_in_a_single_process() -> None:
    longer = ("training.epochs=4", "checkpoint.save_every=20")
    finish(start_copies(*FSDP, *longer, "hydra.run.dir=whole"))
    killed = start_copies(*FSDP, *longer, "hydra.run.dir=killed")
    wait_for_checkpoint("killed")
    kill(killed, "killed")
    said = finish(start_copies(*FSDP, *longer, "hydra.run.dir=killed"))
    assert "Resuming after step" in said
    assert last_weights("killed") == last_weights("whole")
    assert measures("killed") == measures("whole")
    allowed = ("training.epochs=5", "checkpoint.allow_changes=true")
    alone(*longer, *allowed, "hydra.run.dir=killed")
    assert measures("killed")[-1]["step"] == 5 * 30
    assert measures("killed")[-1]["train_loss"] < 0.5


def test_batch_normalisation_on_cpus_is_refused() -> None:
    said = finish(start_copies(*FSDP, "model.norm=BN"), status=1)
    assert "training.parallel=fsdp: on CPUs batch normalisation" in said


def test_fp16_is_refused() -> None:
    said = finish(start_copies(*FSDP, "training.precision=fp16", processes=1), status=1)
    assert "`precision`" not in said
    assert "training.precision=fp16 cannot be combined with training.parallel=fsdp" in said
