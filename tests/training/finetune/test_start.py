"""A training starts from the weights of another: what fits is loaded, all else is told."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from conftest import Run, last_of_each
from runwright import ConfigError, compose
from runwright.finetune_options import CheckpointSource
from runwright.rundir.tensor_files import read_weights
from training.finetune.conftest import OPTIONS, finetune, network

NO_STEP = ("training.max_steps=1", "opt.lr=1e-30")


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        finetune("refused", *overrides)
    assert not Path("refused").exists()  # it was found before anything was made
    return str(error.value)


def last(run_dir: str | Path) -> dict[str, torch.Tensor]:
    return read_weights(Path(run_dir) / "checkpoints" / "last.safetensors")


def report(run_dir: str | Path) -> dict[str, Any]:
    return json.loads((Path(run_dir) / "finetune.json").read_text())


@pytest.mark.parametrize("wrapped", ["", "model", "state_dict", "model/state_dict", "ema"])
def test_weights_are_found_in_what_wraps_them(wrapped: str, tmp_path: Path) -> None:
    state: Any = network().state_dict()
    for key in reversed(wrapped.split("/") if wrapped else []):
        state = {key: state, "epoch": 3}
    torch.save(state, "base.pth")
    more = ["finetune.model_key=ema_model|ema"] if wrapped == "ema" else []
    finetune("run", "finetune.checkpoint=base.pth", *NO_STEP, *more)
    loaded, there = last("run"), network().state_dict()
    for name in ("encoder.0.weight", "encoder.4.weight", "head.2.bias"):
        assert torch.equal(loaded[name], there[name])
    assert report("run")["matched_share"] == {"tensors": 1.0, "numbers": 1.0}


def test_names_are_changed_in_order_and_dropped(tmp_path: Path) -> None:
    state = {f"module.backbone.{n}": t for n, t in network().state_dict().items()}
    state["module.backbone.teacher.weight"] = torch.ones(2)
    torch.save(state, "base.pth")
    config = compose(last_of_each(*OPTIONS, *NO_STEP, "finetune.checkpoint=base.pth"))

    changed = dataclasses.replace(
        config.finetune, rename={"re:^module\\.": "", "backbone.": ""}, drop=["teacher"]
    )
    dataclasses.replace(config, finetune=changed).run("run")
    (only,) = report("run")["checkpoints"]
    assert only["dropped"] == ["teacher.weight"]
    assert set(only["matched"]) == network().state_dict().keys()


def test_matrices_are_transposed_where_they_are_named() -> None:
    state = network().state_dict()
    state["encoder.4.weight"] = state["encoder.4.weight"].T.contiguous()
    torch.save(state, "base.pth")
    finetune(
        *("run", "finetune.checkpoint=base.pth", "finetune.transpose=[encoder.4.weight]"), *NO_STEP
    )
    assert torch.equal(last("run")["encoder.4.weight"], network().state_dict()["encoder.4.weight"])


def test_what_does_not_fit_is_told_with_what_to_do_about_it(tmp_path: Path) -> None:
    state = {f"backbone.{n}": t for n, t in network().state_dict().items()}
    torch.save(state, "base.pth")
    said = refused("finetune.checkpoint=base.pth")
    assert "finetune.checkpoint=base.pth does not match the model, 25 differences:" in said
    assert "\n  missing: encoder.0.bias\n" in said
    assert "The names would match with finetune.rename={backbone.: ''}." in said
    finetune("run", "finetune.checkpoint=base.pth", "finetune.rename={backbone.: ''}", *NO_STEP)
    assert report("run")["missing"] == []


def test_a_head_of_another_size_begins_anew_where_it_is_named(weights: Path) -> None:
    options = (f"finetune.checkpoint={weights}", "model.head_width=6")
    said = refused(*options)
    assert "shape of head.0.weight: (4, 8), not (6, 8)" in said
    assert "does not match the model, 3 differences:" in said
    assert "missing" not in said  # what is there with another shape
    assert "finetune.reset=[head.0,head.2]" in said
    assert "shape of head.0.weight" in refused(*options, "finetune.strict=false")
    finetune("run", *options, "finetune.reset=[head.]", *NO_STEP)
    found = report("run")
    assert found["missing"] == []
    assert found["checkpoints"][0]["reset"] == sorted(
        ["head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"]
    )
    assert torch.equal(last("run")["encoder.4.weight"], network().state_dict()["encoder.4.weight"])


def test_too_little_is_an_error_by_names_and_by_numbers(tmp_path: Path) -> None:
    state = network().state_dict()
    few = {n: t for n, t in state.items() if n in ("encoder.4.weight", "encoder.0.weight")}
    torch.save(few, "few.pth")  # 2 of 12 tensors, about half of all numbers
    options = ("finetune.checkpoint=few.pth", "finetune.strict=false")
    said = refused(*options, "finetune.min_matched=0.4")
    assert "cover 16.7% of the model's tensors and 47.1% of the numbers" in said
    finetune("run", *options, "finetune.min_matched=0.1", *NO_STEP)
    assert "head.0.weight" in report("run")["missing"]
    small = {n: t for n, t in state.items() if t.ndim == 1}
    torch.save(small, "small.pth")
    said = refused("finetune.checkpoint=small.pth", "finetune.strict=false")
    assert "cover 66.7% of the model's tensors and 29.4% of the numbers" in said


def test_all_mistakes_come_together_with_the_nearest_names(weights: Path) -> None:
    said = refused(
        f"finetune.checkpoint={weights}x",
        "finetune.freeze=[encodr]",
        "finetune.reset=[hed]",
        "finetune.lora.layers=[encodar]",
        "model.head_width=7",
    )
    assert "4 mistakes" in said
    for what, meant in (("freeze: 'encodr'", "encoder"), ("reset: 'hed'", "head")):
        assert f"finetune.{what}" in said
        assert f"Did you mean '{meant}'?" in said
    assert f"Did you mean '{weights}'?" in said


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["finetune.min_matched=1.5"], "finetune.min_matched must be ≥ 0, ≤ 1, got 1.5"),
        (
            ["finetune.freeze=['re:(']"],
            "finetune.freeze: 're:(' is not a valid regular expression: ",
        ),
        (["finetune.freeze=['']"], "finetune.freeze: '' is empty and would match every name"),
        (
            ["finetune.rename={a: b, b: a}"],
            "To swap two names, rename one of them to a third name first",
        ),
        (["finetune.checkpoint=http://a.b/c"], "must be a path or an https URL"),
        (["finetune.checkpoint=https://a.b/c"], "finetune.sha256 must be given with"),
        (["finetune.sha256=xyz"], "finetune.sha256 must be 64 hex digits"),
        (["finetune.rename={nothing: b}"], "finetune.rename: 'nothing' matches no"),
        (["finetune.drop=[hed]"], "finetune.drop: 'hed' matches no tensor"),
        (["finetune.transpose=[hed]"], "finetune.transpose: 'hed' matches no tensor"),
        (
            ["finetune.transpose=[head.0]"],
            "'head.0.bias' in base.pth has shape (4,); only matrices",
        ),
        (["finetune.model_key=ema_model"], "has no such key. Allowed: ema."),
        (["finetune.freeze_invert=true"], "has no effect without finetune.freeze"),
        (["finetune.checkpoint=null", "finetune.strict=false"], "strict has no effect without"),
        (["finetune.lora.rank=4"], "finetune.lora.rank has no effect without finetune.lora.layers"),
        (["checkpoint.load=run"], "checkpoint.load and finetune.checkpoint are both weights"),
        (["finetune.freeze=['re:.']"], "finetune.freeze leaves no parameter to train"),
    ],
    ids=str,
)
def test_mistakes_are_told_with_their_key(overrides: list[str], said: str) -> None:
    torch.save({"ema": network().state_dict()}, "base.pth")
    options = ["finetune.checkpoint=base.pth"]
    if not any("finetune.checkpoint" in one or "model_key" in one for one in overrides):
        options.append("finetune.model_key=ema")
    with pytest.raises(ConfigError) as error:
        finetune("refused", *options, *overrides)
    assert said in str(error.value)
    assert not Path("refused").exists()


def test_the_index_of_a_divided_checkpoint_names_its_files(tmp_path: Path) -> None:
    state = network().state_dict()
    parts = {"a.safetensors": "encoder", "b.safetensors": "head"}
    for file, part in parts.items():
        save_file({n: t for n, t in state.items() if n.startswith(part)}, file)
    where = {name: file for name in state for file, p in parts.items() if name.startswith(p)}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    said = refused(f"finetune.checkpoint={index}")
    instead = re.findall("'(finetune[^']*)'", said)
    assert instead == [
        f"finetune.checkpoint={tmp_path}/a.safetensors",
        f"finetune.additional=[{{checkpoint: {tmp_path}/b.safetensors}}]",
    ]
    finetune("run", *instead, *NO_STEP)
    assert report("run")["matched_share"] == {"tensors": 1.0, "numbers": 1.0}


def test_further_checkpoints_fill_parts_in_their_order(weights: Path) -> None:
    head = {f"0.{n}": t for n, t in network(seed=1).head.state_dict().items()}
    torch.save(head, "head.pth")
    torch.save({**network(seed=2).encoder.state_dict(), "other": torch.ones(1)}, "encoder.pth")
    config = compose(last_of_each(*OPTIONS, *NO_STEP, f"finetune.checkpoint={weights}"))
    sources = [
        CheckpointSource(checkpoint="head.pth", rename={"re:^0\\.": "head."}),
        CheckpointSource(checkpoint="encoder.pth", rename={"re:^": "encoder."}, strict=False),
    ]
    several = dataclasses.replace(config.finetune, additional=sources)
    dataclasses.replace(config, finetune=several).run("run")
    loaded = last("run")
    assert torch.equal(loaded["head.2.weight"], network(seed=1).head.state_dict()["2.weight"])
    assert torch.equal(loaded["encoder.0.weight"], network(seed=2).state_dict()["encoder.0.weight"])
    assert report("run")["checkpoints"][2]["unexpected"] == ["encoder.other"]
    strict = dataclasses.replace(sources[1], strict=True)
    several = dataclasses.replace(config.finetune, additional=[sources[0], strict])
    with pytest.raises(ConfigError, match=r"finetune\.additional\.1\.checkpoint=encoder.pth .*"):
        dataclasses.replace(config, finetune=several).run("refused")
    # What the first lacks, a further one may have.
    torch.save(network().encoder.state_dict(), "part.pth")
    whole = dataclasses.replace(
        several, checkpoint="part.pth", rename={"re:^": "encoder."}, additional=sources[:1]
    )
    dataclasses.replace(config, finetune=whole).run("parts")
    assert report("parts")["missing"] == []


def test_a_multirun_goes_on_without_its_source(weights: Path, run_main: Run) -> None:
    small = ("model=fcn", "model.hidden_dim=8", "gpu=-1", "pictures=false", "training.max_steps=4")
    assert run_main(*small, "hydra.run.dir=base").returncode == 0
    jobs = (*small, "-m", "seed=1,2", "hydra.sweep.dir=jobs", "finetune.checkpoint=moved")
    done = run_main(*jobs)
    assert done.returncode == 2
    assert "finetune.checkpoint=moved: there is no such file" in done.stdout + done.stderr
    assert not Path("jobs/0").exists()
    Path("base").rename("moved")
    assert run_main(*jobs, "training.val_every=1").returncode == 0
    Path("moved").rename("base")
    assert run_main(*jobs, "training.val_every=1").returncode == 0
    longer = ("training.max_steps=6", "training.val_every=1", "checkpoint.allow_changes=true")
    assert run_main(*last_of_each(*jobs, *longer)).returncode == 0


def test_further_checkpoints_are_listed_in_a_file_and_changed_by_their_number(
    weights: Path, tmp_path: Path
) -> None:
    torch.save({f"0.{n}": t for n, t in network(seed=1).head.state_dict().items()}, "head.pth")
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "config.yaml").write_text(
        "defaults: [config_schema, {dm: toy_sets}, {model: set_network}, _self_]\n"
        "finetune:\n"
        f"  checkpoint: {weights}\n"
        "  additional:\n"
        "    - {checkpoint: haed.pth, rename: {'re:^0\\.': head.}}\n"
    )
    options = ["gpu=-1", *NO_STEP]
    with pytest.raises(ConfigError) as error:
        compose(options, conf=conf).run("refused")
    assert "finetune.additional.0.checkpoint=haed.pth: there is no such file." in str(error.value)
    compose([*options, "finetune.additional.0.checkpoint=head.pth"], conf=conf).run("run")
    assert torch.equal(last("run")["head.2.weight"], network(seed=1).head.state_dict()["2.weight"])
    again = compose([], conf=Path("run"))  # the record of the run says it all
    assert again.finetune.additional[0].rename == {"re:^0\\.": "head."}
