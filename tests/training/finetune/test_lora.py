"""Low-rank adapters: what they compute, what is trained, and the files that hold them."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from typing_extensions import override

from conftest import last_of_each
from runwright import (
    ConfigError,
    ModelFactory,
    RunError,
    compose,
    factory,
    load,
    merge_adapters,
)
from runwright.finetune_options import FinetuneCfg, LoraCfg
from runwright.rundir.tensor_files import read_weights
from runwright.training.finetune.lora import add_adapters
from runwright.training.finetune.start import prepare
from torchrun import OPTIONS as CNN
from torchrun import finish, start_copies
from toy_domain import SetDims
from training.finetune.conftest import finetune, network

LORA = ("finetune.lora.layers=[encoder]", "finetune.lora.alpha=4")


def trained_adapters(model: nn.Module, cfg: LoraCfg) -> list[str]:
    """Add adapters that are not zero."""
    layers = add_adapters(model, cfg)
    for name, parameter in model.named_parameters():
        if name.endswith("lora_B"):
            nn.init.normal_(parameter)
    return layers


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(5, 7), (3, 5)),
        (nn.Linear(5, 7, bias=False), (2, 4, 5)),
        (nn.Conv2d(3, 6, 3, stride=2, padding=1), (2, 3, 8, 8)),
        (nn.Conv2d(3, 6, (1, 3), padding="same", dilation=(1, 2)), (2, 3, 8, 8)),
        (nn.Conv2d(3, 6, 1, bias=False), (3, 5, 5)),
    ],
    ids=str,
)
def test_an_adapted_layer_computes_with_w_plus_b_a_scaled(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(layer)
    cfg = LoraCfg(layers=["0"], rank=2, conv_rank=3, alpha=5)
    before, x = copy.deepcopy(model), torch.randn(shape)
    add_adapters(model, cfg)
    assert torch.equal(model(x), before(x))  # B is zero
    bound = math.sqrt(6 / (1 + 5)) / math.sqrt(layer.weight[0].numel())  # pyright: ignore[reportIndexIssue, reportCallIssue, reportArgumentType, reportUnknownMemberType, reportUnknownArgumentType]
    a, b = (dict(model.named_parameters())[f"0.lora_{x}"] for x in "AB")
    assert 0.5 * bound < a.abs().max().item() <= bound
    nn.init.normal_(b)
    scale = 5 / (2 if isinstance(layer, nn.Linear) else 3)
    with torch.no_grad():
        weight = before.get_parameter("0.weight")
        weight += scale * (b.flatten(1) @ a.flatten(1)).view_as(weight)
    assert torch.allclose(model(x), before(x), atol=1e-5)
    own = copy.deepcopy(model)
    assert merge_adapters(own) is own
    assert own.state_dict().keys() == before.state_dict().keys()
    for name, tensor in before.state_dict().items():
        assert torch.allclose(own.state_dict()[name], tensor, atol=1e-6)
    assert torch.equal(own(x), type(own)(own[0])(x))
    assert "lora_A" in dict(model[0].named_parameters())  # only the copy was merged
    assert torch.allclose(model(x), own(x), atol=1e-5)


def test_a_transformer_asks_its_adapters_in_evaluation_mode_too() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x = torch.randn(2, 5, 8)
    names = trained_adapters(layer, LoraCfg(layers=["linear"]))
    assert names == ["linear1", "linear2"]
    with torch.no_grad():
        assert torch.allclose(layer.eval()(x), layer.train()(x), atol=1e-5)
        adapted = layer.eval()(x)
        assert torch.allclose(merge_adapters(layer)(x), adapted, atol=1e-5)


def test_the_number_of_trained_parameters_is_that_of_the_layers() -> None:
    # A region embedding of 283 motifs and an encoder of twelve blocks, 768 wide.
    blocks = nn.Sequential()
    for _ in range(12):
        blocks.append(nn.Sequential(nn.Linear(768, 2304, bias=False), nn.Linear(768, 768)))
        blocks.append(nn.Sequential(nn.Linear(768, 3072), nn.Linear(3072, 768)))
    with torch.device("meta"):
        model = nn.ModuleDict({"region_embed": nn.Linear(283, 768), "encoder": blocks})
    prepare(model, FinetuneCfg(lora=LoraCfg(layers=["region_embed", "encoder"])))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 1_188_056


def test_only_adapters_and_what_begins_anew_are_trained(weights: Path) -> None:
    before = network().state_dict()
    options = (f"finetune.checkpoint={weights}", *LORA, "finetune.reset=[head.2]")
    finetune("run", *options, "finetune.lora.train=['re:^encoder.1.bias']")
    after = read_weights(Path("run/checkpoints/last.safetensors"))
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert before.keys() - same == {
        *("head.2.weight", "head.2.bias", "encoder.1.bias"),
        # Something of it is trained, so its statistics go on.
        *("encoder.1.running_mean", "encoder.1.running_var", "encoder.1.num_batches_tracked"),
    }
    adapters = {f"encoder.{layer}.lora_{x}" for layer in (0, 4) for x in "AB"}
    assert after.keys() - before.keys() == adapters
    assert all(after[name].any() for name in adapters)


def test_adapters_are_written_as_the_peft_package_reads_them(weights: Path) -> None:
    options = (f"finetune.checkpoint={weights}", *LORA, "finetune.lora.train=[head]")
    finetune("run", *options)
    config = json.loads(Path("run/adapter/adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert (config["r"], config["lora_alpha"], config["bias"]) == (8, 4, "none")
    assert config["target_modules"] == ["encoder.0", "encoder.4"]
    assert config["modules_to_save"] == ["head.0", "head.2"]
    written = read_weights(Path("run/adapter/adapter_model.safetensors"))
    best = read_weights(Path("run/checkpoints/best.safetensors"))
    assert {name.removeprefix("base_model.model.") for name in written} == {
        *(f"encoder.{layer}.lora_{x}.weight" for layer in (0, 4) for x in "AB"),
        *(name for name in best if name.startswith("head")),
    }
    assert torch.equal(
        written["base_model.model.encoder.0.lora_A.weight"], best["encoder.0.lora_A"]
    )


def test_adapters_are_loaded_into_the_weights_that_they_were_trained_on(weights: Path) -> None:
    base = f"finetune.checkpoint={weights}"
    finetune("run", base, *LORA, "finetune.lora.train=[head]")
    best = load("run").model.eval()
    again = (*LORA, "finetune.lora.checkpoint=run", "finetune.lora.train=[head]", "opt.lr=1e-30")
    finetune("again", base, *again, "training.max_steps=1")
    x = torch.randn(2, 5, 3)
    expected = best(x)
    assert torch.allclose(load("again").model(x), expected, atol=1e-6)
    # The checkpoint of a run with adapters holds them too.
    whole = ("finetune.checkpoint=run", *LORA, "opt.lr=1e-30", "training.max_steps=1")
    finetune("whole", *whole)
    assert torch.allclose(load("whole").model(x), expected, atol=1e-6)
    merged = merge_adapters(best)
    assert merged.state_dict().keys() == network().state_dict().keys()
    assert torch.allclose(merged(x), expected, atol=1e-6)


@pytest.mark.parametrize("source", ["checkpoint", "adapter"])
def test_adapters_are_merged_before_all_is_trained(weights: Path, source: str) -> None:
    base = f"finetune.checkpoint={weights}"
    finetune("run", base, *LORA)
    expected = merge_adapters(load("run").model).state_dict()
    options = [*LORA, "finetune.lora.merge=true", "opt.lr=1e-30", "training.max_steps=1"]
    if source == "checkpoint":
        finetune("merged", "finetune.checkpoint=run", *options)
    else:
        finetune("merged", base, "finetune.lora.checkpoint=run/adapter", *options)
    model = load("merged").model
    assert model.state_dict().keys() == network().state_dict().keys()
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name in ("encoder.0.weight", "encoder.4.weight", "head.0.weight"):
        assert torch.allclose(model.state_dict()[name], expected[name], atol=1e-6)
    assert not Path("merged/adapter").exists()
    report = json.loads(Path("merged/finetune.json").read_text())
    whole = sum(p.numel() for p in network().parameters())
    assert report["parameters"] == {"trained": whole, "all": whole}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["finetune.checkpoint=run"],
            "has adapters (encoder.0.lora_A, …). To train them, list their layers in",
        ),
        ([*LORA[:1], "finetune.lora.checkpoint=run"], "Set finetune.lora.alpha=4"),
        ([*LORA[:1], "finetune.checkpoint=run"], "run/config.yaml). Set finetune.lora.alpha=4"),
        (
            [*LORA[:1], "finetune.lora.checkpoint=run/checkpoints/best.safetensors"],
            "run/config.yaml). Set finetune.lora.alpha=4",
        ),
        (
            [*LORA, "finetune.lora.rank=4", "finetune.lora.checkpoint=run"],
            "shape of encoder.0.lora_A",
        ),
        ([*LORA, "finetune.lora.checkpoint=nothing"], "there is no such file"),
        ([*LORA, "finetune.lora.checkpoint=base.pth"], "base.pth contains no adapters"),
        ([*LORA, "finetune.lora.merge=true"], "finetune.lora.merge: no checkpoint has adapters"),
        (
            [
                "finetune.lora.layers=[head]",
                "finetune.lora.alpha=4",
                "finetune.lora.checkpoint=run",
            ],
            "missing: head.0.lora_A",
        ),
        (["finetune.lora.layers=['re:^encoder.1']"], "matches no nn.Linear or nn.Conv2d"),
        ([*LORA, "finetune.freeze=[lora_]"], "leaves no parameter to train"),
        ([*LORA, "finetune.freeze=[lora_]", "finetune.lora.train=[head]"], "freezes the adapters"),
        ([*LORA, "finetune.lora.checkpoint=https://a.b/c"], "must be a path"),
    ],
    ids=str,
)
def test_adapters_that_do_not_fit_are_told(overrides: list[str], said: str, weights: Path) -> None:
    base = f"finetune.checkpoint={weights}"
    if "run" in "".join(overrides):
        finetune("run", base, *LORA, "training.max_steps=1")
    given = [] if "finetune.checkpoint=run" in overrides else [base]
    with pytest.raises(ConfigError) as error:
        finetune("refused", *given, *overrides)
    assert said in str(error.value)
    assert not Path("refused").exists()


@factory("reading_weights")
class ReadingWeightsFactory(ModelFactory[SetDims]):
    """A network that reads the weights of a layer and does not call it."""

    @override
    def build(self, dims: SetDims) -> nn.Module:
        return _ReadingWeights(dims.features)


class _ReadingWeights(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.read, self.called = nn.Linear(features, features), nn.Linear(features, features)

    @override
    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.called(F.linear(vectors, self.read.weight))


def test_adapters_that_have_no_part_in_what_is_computed_end_the_first_step() -> None:
    with pytest.raises(RunError, match=r"Some adapters have no effect \(1\): read"):
        finetune("run", "model=reading_weights", "finetune.lora.layers=[read,called]")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_several_processes_train_the_same_adapters(parallel: str) -> None:
    small = ("dm=cmnist", "model=fcn", "model.hidden_dim=16", "model.num_hidden=2")
    options = last_of_each(*CNN, *small, "training.epochs=1", "training.limit_train_batches=6")
    compose(options).run("base")
    before = read_weights(Path("base/checkpoints/best.safetensors"))
    told = ["finetune.checkpoint=base", "finetune.lora.layers=['re:^[12]']"]
    told += ["finetune.freeze=['re:^1.*lora_A']", f"training.parallel={parallel}"]
    finish(start_copies(*told, "hydra.run.dir=run", options=options))
    after = read_weights(Path("run/checkpoints/last.safetensors"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    adapters = read_weights(Path("run/adapter/adapter_model.safetensors"))
    names = {name.removeprefix("base_model.model.").removesuffix(".weight") for name in adapters}
    assert names == after.keys() - before.keys()
    compose([*options, *told[:-1]]).run("alone")
    alone = read_weights(Path("alone/checkpoints/last.safetensors"))
    for name in names:
        assert torch.allclose(alone[name], after[name], atol=1e-5), name
