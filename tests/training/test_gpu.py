"""What must hold on a CUDA device; these tests are skipped without one."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import nn

import own_optimizers  # pyright: ignore[reportUnusedImport]  # noqa: F401  # it registers them
from conftest import Run, last_of_each, run_dirs
from data.test_parts import rich
from runwright import Config, RunError, UserError, compose
from runwright.data import Data, Split
from runwright.device.runtime import Runtime, choose_device
from runwright.domains.vision.batch import ImageBatch, RawImages
from runwright.domains.vision.device_images import DeviceImages
from runwright.domains.vision.dims import ImageDims
from runwright.domains.vision.mapped import MappedImages
from runwright.domains.vision.standard_augmentation import StandardAugmentation
from runwright.rundir.tensor_files import read_tensors
from streamed_domain import WAYS, split
from training.test_drawing_validation import OPTIONS as DRAWING
from training.test_loop import weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

CNN = ["dm=cmnist", "model=cnn", "opt.lr=0.002", "gpu=0", "pictures=false"]
DROPOUT = ["dm=cmnist", "model.hidden_dim=64", "model.dropout_prob=0.3", "gpu=0", "pictures=false"]


def test_the_default_trains_there_and_its_weights_serve_on_the_cpu(
    run_main: Run, tmp_path: Path
) -> None:
    done = run_main("hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Starting a run with seed 42 and GPU 0.\n")
    assert "No CUDA device" not in done.stdout
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["value"] > 0.9
    measured = run_main("hydra.run.dir=run", "stage=validate", "gpu=-1")
    assert measured.returncode == 0, measured.stderr
    again = json.loads((tmp_path / "run" / "validate.json").read_text())
    assert again["val_accuracy"] == pytest.approx(result["value"], abs=2e-3)


def test_a_device_that_does_not_exist_is_refused_with_those_that_do() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(UserError) as caught:
        choose_device(count)
    assert f"gpu={count} does not exist. CUDA devices here: 0 (" in str(caught.value)
    assert torch.cuda.get_device_name(0) in str(caught.value)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_cnn_learns_in_every_precision_compiled_or_not(
    tmp_path: Path, precision: str, compiled: bool
) -> None:
    options = [*CNN, f"training.precision={precision}", f"training.compile={compiled}"]
    accuracy = compose([*options, "training.epochs=5"]).run(tmp_path / "run")
    assert accuracy > 0.93
    assert {value.dtype for value in weights(tmp_path / "run").values()} == {torch.float32}


@pytest.mark.parametrize(
    "options",
    [CNN, DROPOUT, [*CNN, "training.precision=fp16"], [*CNN, "training.precision=bf16"]],
    ids=["cnn", "dropout", "fp16", "bf16"],
)
@pytest.mark.parametrize("captured", [False, True], ids=["by Python", "captured"])
def test_a_run_in_two_parts_ends_with_the_same_weights_to_the_byte(
    run_main: Run, tmp_path: Path, options: list[str], captured: bool
) -> None:
    same = ["deterministic=true", "training.ema_decay=0.9", "opt.schedule=constant"]
    same += [f"training.cuda_graph={str(captured).lower()}"]
    for name, steps in (("whole", 60), ("halves", 25), ("halves", 60)):
        directory = [f"hydra.run.dir={name}", "checkpoint.allow_changes=true"]
        done = run_main(*options, *same, f"training.max_steps={steps}", *directory)
        assert done.returncode == 0, done.stderr
    whole, halves = (tmp_path / name / "checkpoints" for name in ("whole", "halves"))
    for file in ("last.safetensors", "best.safetensors"):
        assert (whole / file).read_bytes() == (halves / file).read_bytes()
    states = [read_tensors(folder / "last.state.safetensors")[0] for folder in (whole, halves)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], rtol=0, atol=0, equal_nan=True)


# What torch says, once in a process, of that way of finding what waits.
IT_IS_A_PROTOTYPE = "ignore:Synchronization debug mode is a prototype feature"


class WithoutWaiting(Split[ImageBatch]):
    """Makes whatever waits for the device an error, from the fifth batch to the last but one.

    By then the steps have been captured, and compared with those that Python takes.
    """

    def __init__(self, split: Split[ImageBatch]) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    @property
    def num_batches(self) -> int:
        return self.split.num_batches

    def batches(self, epoch: int, start: int = 0) -> Iterator[ImageBatch]:
        batches = self.split.batches(epoch, start)
        yield from islice(batches, 4)
        for _ in range(self.num_batches - 5):
            torch.cuda.set_sync_debug_mode("error")
            yield next(batches)
        torch.cuda.set_sync_debug_mode("default")
        yield from batches


@pytest.mark.filterwarnings(IT_IS_A_PROTOTYPE)
@pytest.mark.parametrize("captured", [False, True], ids=["by Python", "captured"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_only_reading_the_losses_validating_and_saving_wait_for_the_device(
    tmp_path: Path, precision: str, captured: bool
) -> None:
    options = ["training.clip_grad=1", "training.ema_decay=0.9", f"training.precision={precision}"]
    options += [f"training.cuda_graph={str(captured).lower()}"]
    rarely = ["training.log_every=62", "checkpoint.save_every=62"]
    config = compose(last_of_each(*CNN, *options, *rarely, "training.epochs=2"))
    build = config.dm.build

    def strict(runtime: Runtime) -> Data[Any, Any]:
        data = build(runtime)
        return attrs.evolve(data, train=WithoutWaiting(data.train))

    object.__setattr__(config.dm, "build", strict)
    try:
        assert config.run(tmp_path / "run") > 0.5
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_images_from_a_map_are_the_same_there(num_workers: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(50, 3, 8, 8), dtype=np.uint8)
    labels = rng.integers(2, size=50)
    there, here = (
        MappedImages(
            images,
            np.arange(50),
            labels=labels,
            groups=labels,
            batch_size=8,
            shuffle_seed=3,
            device=torch.device(device),
            num_workers=num_workers,
        )
        for device in ("cuda:0", "cpu")
    )
    for moved, expected in zip(there.batches(1), here.batches(1), strict=True):
        assert moved.device == torch.device("cuda:0")
        assert torch.allclose(moved.image.cpu(), expected.image, atol=1e-6)
        assert torch.equal(moved.label.cpu(), expected.label)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("training.clip_grad=0.1", "training.track=[grad_norm]", "training.ema_decay=0.9"),
        ("training.accumulate_grad_batches=2", "opt.schedule=plateau"),
        ("training.precision=bf16",),
        ("training.precision=fp16", "training.clip_grad=1"),
        ("training.compile=true",),
        ("opt.optimizer_cls=SGD", "opt.optimizer_kwargs={momentum: 0.9, nesterov: true}"),
        ("opt.optimizer_cls=SGD",),
        *((f"opt.optimizer_cls={name}",) for name in ("Adam", "NAdam", "RAdam", "Adamax", "ASGD")),
    ],
    ids=lambda options: " ".join(options) or "usual",
)
def test_captured_steps_train_as_steps_by_python(tmp_path: Path, options: tuple[str, ...]) -> None:
    same = [*DROPOUT, "deterministic=true", "training.max_steps=30", *options]
    for name in ("true", "false"):
        compose([*same, f"training.cuda_graph={name}"]).run(tmp_path / name)
    captured, taken = (weights(tmp_path / name) for name in ("true", "false"))
    for name, value in taken.items():
        torch.testing.assert_close(captured[name], value, rtol=0.02, atol=2e-4)


def test_statistics_of_batch_normalisation_are_counted_once_a_captured_step(tmp_path: Path) -> None:
    large = ["dm=cmnist", "model=resnet", "gpu=0", "pictures=false", "training.max_steps=9"]
    compose([*large, "training.cuda_graph=true"]).run(tmp_path / "run")
    counted = {int(v) for n, v in weights(tmp_path / "run").items() if "num_batches" in n}
    assert counted == {9}


def test_a_step_that_waits_for_the_device_is_not_captured_and_says_where(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config = compose([*CNN, "training.max_steps=5"])
    real = config.objective.build

    def build(*args: Any) -> Any:
        objective = real(*args)
        losses = objective.losses

        def waiting(*of: Any) -> Any:
            found = losses(*of)
            return {**found, "loss": found["loss"] * (1 + 0 * found["loss"].item())}

        object.__setattr__(objective, "losses", waiting)
        return objective

    object.__setattr__(config.objective, "build", build)
    config.run(tmp_path / "run")
    said = f"The steps are not captured as a CUDA graph: it waits for the device ({__file__}, line "
    assert [one for one in caplog.messages if one.startswith(said)]


def synchronising(config: Config, *, in_training: bool) -> Config:
    """Has the model wait for the device in a way that torch does not find in a rehearsal."""
    build = config.model.build

    def changed(dims: Any) -> Any:
        model = build(dims)

        def wait(module: nn.Module, given: object) -> None:
            if module.training == in_training:
                torch.cuda.synchronize()

        next(model.children()).register_forward_pre_hook(wait)
        return model

    object.__setattr__(config.model, "build", changed)
    return config


def test_a_capture_that_is_made_invalid_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    before = torch.cuda.current_stream()
    same = [*DROPOUT, "deterministic=true", "training.max_steps=30"]
    for name in ("null", "false"):
        config = compose([*same, f"training.cuda_graph={name}"])
        synchronising(config, in_training=True).run(tmp_path / name)
    assert [one for one in caplog.messages if one.startswith("The steps are not captured")]
    assert torch.cuda.current_stream() == before
    tried, taken = (weights(tmp_path / name) for name in ("null", "false"))
    for name, value in taken.items():
        torch.testing.assert_close(tried[name], value, rtol=1e-4, atol=1e-6)
    in_use = torch.cuda.memory_stats()["active_bytes.all.current"]
    kept = torch.ones(2**20, device="cuda")
    kept.record_stream(torch.cuda.Stream())
    del kept
    torch.cuda.synchronize()
    small = torch.ones(1, device="cuda")  # what several streams have used is given back now
    assert torch.cuda.memory_stats()["active_bytes.all.current"] < in_use + 2**22
    del small


def test_steps_are_replayed_as_before_after_a_validation_that_cannot_be_captured(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    same = [*DROPOUT, "deterministic=true", "opt.schedule=constant", "training.val_every=5"]
    for name, steps in (("whole", 40), ("halves", 23), ("halves", 40)):
        changes = [f"training.max_steps={steps}", "checkpoint.allow_changes=true"]
        config = compose([*same, "training.cuda_graph=true", *changes])
        synchronising(config, in_training=False).run(tmp_path / name)
    assert caplog.messages.count("The steps are replayed as a CUDA graph.") == 3
    whole, halves = (weights(tmp_path / name) for name in ("whole", "halves"))
    assert all(torch.equal(one, halves[name]) for name, one in whole.items())


@pytest.mark.parametrize("options", [(), ("training.clip_grad=1",)])
def test_an_optimiser_that_asks_whether_gradients_are_finite_is_not_captured_with_fp16(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    same = [*DROPOUT, "deterministic=true", "training.max_steps=30", "opt.optimizer_cls=NAdam"]
    for name in ("null", "false"):
        asked = ["training.precision=fp16", f"training.cuda_graph={name}", *options]
        compose([*same, *asked]).run(tmp_path / name)
    tried, taken = (weights(tmp_path / name) for name in ("null", "false"))
    for name, value in taken.items():
        torch.testing.assert_close(tried[name], value, rtol=0.02, atol=2e-4)


def augmented(device: str) -> DeviceImages:
    """Noise on a device, with everything that is drawn for it."""
    rng = np.random.default_rng(0)
    dims = ImageDims(channels=3, height=32, width=32, num_classes=10)
    augment = StandardAugmentation(flip="alternating", rand_augment=3, cutout=8, mixup=0.4)
    there = torch.device(device)
    preparation = augment.prepare(
        dims, mean=[0.4, 0.5, 0.6], std=[0.2], seed=3, num_examples=500, device=there
    )
    label = torch.from_numpy(rng.integers(10, size=500))
    raw = RawImages(
        image=torch.from_numpy(rng.integers(256, size=(500, 3, 32, 32), dtype=np.uint8)),
        label=label,
        group=label,
        index=torch.arange(500),
        epoch=0,
    )
    return DeviceImages(raw.to(there), batch_size=64, shuffle_seed=3, preparation=preparation)


@pytest.mark.filterwarnings(IT_IS_A_PROTOTYPE)
def test_images_are_augmented_there_as_here_without_waiting() -> None:
    there, here = augmented("cuda:0"), augmented("cpu")
    for epoch in (0, 1):
        for one, expected in zip(there.batches(epoch), here.batches(epoch), strict=True):
            assert torch.equal(one.label.cpu(), expected.label)
            # A rotated pixel may be rounded to its neighbour.
            differ = (one.image.cpu() - expected.image).abs() > 1e-4
            assert float(differ.float().mean()) < 1e-3
    positions = torch.arange(64, device="cuda:0")
    torch.cuda.set_sync_debug_mode("error")
    try:
        there.preparation(there.gather(positions, 2))
    finally:
        torch.cuda.set_sync_debug_mode("default")


GAN = ("dm=toy_sets", "model=pair", "objective=adversarial", "opt=pair_of_adams", "gpu=0")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_of_several_updates_is_resumed_there_to_the_byte(
    tmp_path: Path, precision: str
) -> None:
    same = [*GAN, "pictures=false", "deterministic=true", "training.epochs=100"]
    same += [f"training.precision={precision}", "training.clip_grad=1", "training.ema_decay=0.9"]
    same += ["training.val_every=5"]  # its noise is drawn from the same generator
    for name, steps in (("whole", 40), ("halves", 15), ("halves", 40)):
        changes = [f"training.max_steps={steps}", "checkpoint.allow_changes=true"]
        compose([*same, *changes]).run(tmp_path / name)
    for part in ("last.safetensors", "last.state.safetensors"):
        whole, halves = (
            read_tensors(tmp_path / name / "checkpoints" / part)[0] for name in ("whole", "halves")
        )
        assert whole.keys() == halves.keys()
        for name, tensor in whole.items():
            torch.testing.assert_close(tensor, halves[name], rtol=0, atol=0, equal_nan=True)


CUDA = torch.device("cuda:0")


@pytest.mark.filterwarnings(IT_IS_A_PROTOTYPE)
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("way", WAYS)
def test_streamed_batches_are_the_same_there_and_moved_without_waiting(
    way: str, num_workers: int
) -> None:
    there, here = (split(way, num_workers, device=device) for device in (CUDA, torch.device("cpu")))
    expected = [*here.batches(1, 1)]
    batches = there.batches(1, 1)
    found = [next(batches)]  # the first of them starts the workers
    torch.cuda.set_sync_debug_mode("error")
    try:
        found += batches
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for moved, other in zip(found, expected, strict=True):
        assert moved.device == CUDA
        assert torch.equal(moved.vectors.cpu(), other.vectors)
        assert torch.equal(moved.target.cpu(), other.target)


def test_every_part_of_a_batch_is_moved_and_selected_there() -> None:
    moved, here = rich().to(CUDA), rich()
    assert {tensor.device for tensor in moved.tensors()} == {CUDA}
    which = torch.tensor([5, 0, 0, 3])
    some, expected = moved.select(which.to(CUDA)), here.select(which)
    for one, other in zip(some.tensors(), expected.tensors(), strict=True):
        assert torch.equal(one.cpu(), other)
    assert torch.equal(moved.counts.dense().cpu(), here.counts.dense())


def test_adapters_are_trained_there_and_kept(tmp_path: Path) -> None:
    trained, adapted = tmp_path / "trained", tmp_path / "adapted"
    compose([*CNN, "training.epochs=2"]).run(trained)
    before = weights(trained)
    lora = [f"finetune.checkpoint={trained}", "finetune.lora.layers=['re:.*']"]
    accuracy = compose([*CNN, *lora, "training.max_steps=20"]).run(adapted)
    after = weights(adapted)
    assert accuracy > 0.5
    assert any(name.endswith("lora_B") and value.any() for name, value in after.items())
    unchanged = [
        name for name, value in before.items() if name.endswith(".weight") and value.ndim > 1
    ]
    assert unchanged
    assert all(torch.equal(before[name], after[name]) for name in unchanged)


@pytest.mark.parametrize("method", ["bootstrap_quantiles", "binomial"])
def test_weights_are_measured_there_with_confidence_intervals(tmp_path: Path, method: str) -> None:
    run = tmp_path / "run"
    compose([*CNN, "training.max_steps=30"]).run(run)
    stage = ["stage=validate", f"checkpoint.load={run}", f"stage.ci_method={method}"]
    accuracy = compose([*stage, "stage.num_bootstrap_runs=100", "gpu=0"]).run(tmp_path / "measured")
    assert 0 < accuracy <= 1


def test_a_batch_too_large_for_the_device_says_what_to_do(tmp_path: Path) -> None:
    large = ["dm.default_res=64", "dm.batch_size=4000", "model=resnet"]
    config = compose(["dm=cmnist", *large, "gpu=0", "pictures=false"])
    _, total = torch.cuda.mem_get_info(0)
    torch.cuda.set_per_process_memory_fraction(min(1, 1.5 * 2**30 / total), 0)
    try:
        with pytest.raises(RunError) as caught:
            config.run(tmp_path / "run")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
        torch.cuda.empty_cache()
    said = str(caught.value)
    assert said.startswith("Out of memory in step 1 of 10: CUDA out of memory. ")
    assert "dm.batch_size" in said


@pytest.mark.filterwarnings(IT_IS_A_PROTOTYPE)
def test_counting_what_was_predicted_does_not_wait_for_the_device(tmp_path: Path) -> None:
    config = compose(CNN)
    device = choose_device(0)
    data = config.dm.build(Runtime(device=device, seed=1, run_dir=tmp_path))
    assert data.val is not None
    first, second = data.val.batches(0)
    model = config.model.build(data.dims).to(device).eval()
    evaluation = config.objective.build(data.dims, device).evaluation()
    with torch.no_grad():
        evaluation.update(model, first)
        torch.cuda.set_sync_debug_mode("error")
        try:
            evaluation.update(model, second)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert 0 <= evaluation.compute()["accuracy"] <= 1


def test_jobs_of_a_multirun_may_be_deterministic_or_not(run_main: Run, tmp_path: Path) -> None:
    jobs = ["--multirun", "deterministic=false,true,false", "training.epochs=1"]
    done = run_main(*jobs, "gpu=0", "hydra.sweep.dir=jobs", "pictures=false")
    assert done.returncode == 0, done.stderr
    assert len(run_dirs(tmp_path, "jobs")) == 3


def test_a_validation_that_draws_there_changes_no_training(tmp_path: Path) -> None:
    options = [*DRAWING, "gpu=0"]
    for every in (2, 20):
        compose(last_of_each(*options, f"training.val_every={every}")).run(tmp_path / str(every))
    often, once = (weights(tmp_path / every) for every in ("2", "20"))
    assert all(torch.equal(one, once[name]) for name, one in often.items())
    measured = ["stage=validate", f"checkpoint.load={tmp_path / '2'}"]
    best = json.loads((tmp_path / "2" / "result.json").read_text())["value"]
    assert compose(measured).run(tmp_path / "measured") == best
