"""Several processes train one model as one process would."""

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import REPOSITORY, last_of_each
from programs import Program, run_python
from runwright import compose
from runwright.data.batching import InMemory
from runwright.errors import UserError
from runwright.training.splits import part_of
from torchrun import (
    OPTIONS,
    finish,
    last_weights,
    measures,
    processes_of,
    start,
    start_copies,
    wait_for_checkpoint,
)
from toy_domain import SetBatch


def split(batch_size: int) -> InMemory[SetBatch]:
    vectors = torch.arange(26.0).reshape(26, 1, 1)
    examples = SetBatch(vectors=vectors, target=vectors)
    return InMemory(examples, batch_size=batch_size, shuffle_seed=0)


def test_the_parts_of_a_batch_are_the_batch_at_any_start() -> None:
    whole = list(split(6).batches(epoch=1, start=2))
    parts = [list(part_of(split(6), rank, 3).batches(epoch=1, start=2)) for rank in range(3)]
    for number, batch in enumerate(whole):
        joined = torch.cat([part[number].vectors for part in parts])
        assert torch.equal(joined, batch.vectors)
        assert {len(part[number]) for part in parts} == {2}


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(UserError, match=r"dm\.batch_size=5 cannot be divided equally among 2"):
        part_of(split(5), 0, 2)


# What some predictions of 1,000 change, where two classes are equal but for how sums are rounded.
SOME_IMAGES = {"val_accuracy": 5e-3, "val_macro_f1": 1e-2, "val_worst_group_accuracy": 1 / 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "options"),
    [
        (start, ("training.ema_decay=0.9", "training.accumulate_grad_batches=2")),
        (start_copies, ("objective.class_weights=[0,2,3,4,5,6,7,8,9,10]",)),
    ],
)
def test_two_processes_measure_what_one_does(
    how: Callable[..., Program], options: tuple[str, ...]
) -> None:
    said = finish(how("hydra.run.dir=two", *options))
    assert said.count("Model architecture") == 1
    run_python(REPOSITORY / "main.py", *OPTIONS, *options, "hydra.run.dir=one", check=True)
    one, two = measures("one"), measures("two")
    assert len(one) == len(two)
    assert one[0] == pytest.approx(two[0], rel=2e-5)
    for left, right in zip(one, two, strict=True):
        assert left.keys() == right.keys()
        for name, value in left.items():  # how sums are rounded comes to more with every step
            assert value == pytest.approx(right[name], rel=1e-3, abs=SOME_IMAGES.get(name, 0)), name


@pytest.mark.slow
def test_two_processes_learn_nothing_of_batches_that_weigh_nothing() -> None:
    options = ("objective.class_weights=[1,0,0,0,0,0,0,0,0,0]", "dm.batch_size=2")
    short = ("training.epochs=1", "training.log_every=1")
    finish(start_copies("hydra.run.dir=two", *options, *short))
    losses = [row["train_loss"] for row in measures("two")]
    assert min(losses) == 0
    assert 0 < max(losses) < math.inf


@pytest.mark.slow
def test_what_is_measured_is_the_model_that_is_saved() -> None:
    # Each process takes the statistics of its own share of a batch.
    fcn = ("model=fcn", "model.num_hidden=1", "model.hidden_dim=32", "model.norm=BN")
    options = (*fcn, "dm.batch_size=8", "training.epochs=1")
    finish(start_copies("hydra.run.dir=run", *options))
    best = json.loads(Path("run/result.json").read_text())["measures"]
    compose(last_of_each("dm=cmnist", *OPTIONS, *options, "stage=validate")).run("run")
    measured = json.loads(Path("run/validate.json").read_text())
    for name, value in best.items():
        assert measured[name] == pytest.approx(value, rel=1e-5), name


@pytest.mark.slow
def test_a_process_that_dies_ends_all_and_leaves_no_stray_directory() -> None:
    process = start("training.epochs=200", "checkpoint.save_every=20", "hydra.run.dir=run")
    wait_for_checkpoint("run")
    others = [
        pid
        for pid in processes_of("hydra.run.dir=run")
        if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()
    ]
    os.kill(others[0], signal.SIGKILL)
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "SIGKILL" in said
    assert not processes_of("hydra.run.dir=run")


@pytest.mark.slow
def test_a_share_of_one_example_is_refused_before_it_is_normalised() -> None:
    fcn = ("model=fcn", "model.norm=BN", "model.num_hidden=1")
    said, _ = start_copies("dm.batch_size=2", *fcn).communicate(timeout=120)
    assert "such as dm.batch_size=4" in said
    assert "ValueError" not in said


@pytest.mark.slow
def test_what_cannot_be_divided_ends_all_processes_and_is_told() -> None:
    said, _ = start("dm.batch_size=63").communicate(timeout=120)
    assert "dm.batch_size=63 cannot be divided equally among 2 processes" in said


@pytest.mark.slow
def test_processes_go_on_from_a_checkpoint_of_another_run_and_keep_several_of_the_best() -> None:
    every = ("checkpoint.save_every=20", "training.val_every=10", "checkpoint.keep_best=2")
    finish(start_copies("hydra.run.dir=whole", "checkpoint.keep=null", *every))
    origin = Path("whole/checkpoints/step-00000040.safetensors")
    finish(start_copies("hydra.run.dir=branch", f"checkpoint.resume_from={origin}", *every))
    assert last_weights("branch") == last_weights("whole")
    assert measures("branch") == measures("whole")
    kept = [
        sorted(p.name for p in Path(run).glob("checkpoints/best-*")) for run in ("whole", "branch")
    ]
    assert len(kept[0]) == 4
    assert kept[0] == kept[1]


@pytest.mark.parametrize("place", ["fixed", "${now:%Y}"])
def test_a_multirun_keeps_the_directory_that_all_processes_have(place: str) -> None:
    Path("conf").mkdir()
    Path("conf/mine.yaml").write_text(
        f"defaults: [config_schema, {{dm: cmnist}}, {{model: cnn}}, _self_]\n"
        f"hydra: {{sweep: {{dir: 'sweeps/{place}'}}}}\n"
    )
    finish(
        start_copies(
            "--config-dir=conf", "-cn=mine", "--multirun", "seed=1", "training.max_steps=1"
        )
    )
    (folder,) = Path("sweeps").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["0", "multirun.yaml"]


def test_a_multirun_leaves_one_directory_for_all_processes() -> None:
    finish(start_copies("--multirun", "seed=1", "training.max_steps=1"))
    (folder,) = Path("multirun").glob("*/*")
    assert sorted(path.name for path in folder.iterdir()) == ["0", "multirun.yaml"]
