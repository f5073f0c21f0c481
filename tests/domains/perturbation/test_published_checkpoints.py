"""Checkpoints of the original, loaded by `+experiment=perturbation/from_state`.

The original is not a dependency, and its licence is not ours. Its outputs are compared where
ARC_STATE_PYTHON names a Python that has the package arc-state; its names are tested everywhere.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from domains.perturbation.arc_state_outputs import (
    BATCHES,
    CASES,
    DECODED,
    DECODER,
    GENES,
    VECTOR,
)
from runwright.domains import perturbation
from runwright.domains.perturbation.dims import PerturbationDims
from runwright.domains.perturbation.llama import LlamaBackbone
from runwright.domains.perturbation.pertsets import StateSmallFactory
from runwright.domains.perturbation.state_network import StateNetwork
from runwright.finetune_options import FinetuneCfg
from runwright.training.finetune.start import Start

PYTHON = os.environ.get("ARC_STATE_PYTHON")
EXPERIMENT = "conf/experiment/perturbation/from_state.yaml"
# What the head of the experiment file says about parts that only some checkpoints have.
MORE = {
    "final_down_then_up": "bottleneck",
    "gene_decoder.decoder": "gene_decoder",
    "confidence_token.confidence_token": "confidence.token",
    "confidence_token.confidence_projection": "confidence.head",
}


def network(case: str) -> StateNetwork:
    """The network that a checkpoint of this case is of."""
    options = dict(CASES[case])
    is_embedding = options.pop("embed_key") == "X_emb"
    is_decoded = options.pop("gene_decoder_bool", False)
    space = options.pop("output_space")
    dims = PerturbationDims(
        features=GENES,
        perturbation_features=VECTOR,
        num_batches=BATCHES,
        output_space="embedding" if is_embedding and not is_decoded else space,
        decoded_genes=DECODED if is_decoded else None,
    )
    return StateSmallFactory(
        hidden_dim=16,
        n_encoder_layers=3,
        n_decoder_layers=2,
        decoder_hidden_dims=DECODER if is_decoded else [1024, 1024, 512],
        backbone=LlamaBackbone(
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=24,
        ),
        **options,
    ).build(dims)


def start_from(checkpoint: Path, model: StateNetwork, names: list[str]) -> Start:
    """A start as the experiment file and its head say, for tensors of these names."""
    file = Path(perturbation.__file__).parent / EXPERIMENT
    text = file.read_text().replace("\\.", ".")
    options: dict[str, Any] = yaml.safe_load(text)["finetune"]
    for old, new in MORE.items():
        assert f"finetune.rename.{old}={new}" in text
        if any(old in name for name in names):
            options["rename"][old] = new
    options["checkpoint"] = str(checkpoint)
    return Start(model, FinetuneCfg(**options))


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint, inputs and outputs of every case."""
    if PYTHON is None:
        pytest.skip("ARC_STATE_PYTHON names no Python with arc-state")
    folder = tmp_path_factory.mktemp("originals")
    script = Path(__file__).with_name("arc_state_outputs.py")
    done = subprocess.run([PYTHON, script, folder], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("case", CASES)
def test_the_original_computes_the_same_from_its_own_weights(case: str, originals: Path) -> None:
    checkpoint = originals / f"{case}.ckpt"
    model = network(case)
    names = list(torch.load(checkpoint, weights_only=True)["state_dict"])
    start = start_from(checkpoint, model, names)
    assert start.problems == []
    start.load()
    saved = torch.load(originals / f"{case}.pt", weights_only=True)
    found: dict[str, Tensor | None] = model.eval()(**saved["inputs"])._asdict()
    if case == "embedding":  # the original clips embeddings at 0, which have negative values
        found["cells"] = model(**saved["inputs"]).cells.relu()
    for name, expected in saved["outputs"].items():
        if expected is None:
            assert found[name] is None
        else:
            torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-5)


ORIGINAL_NAMES = {
    "backbone.final_norm.": "transformer_backbone.norm.",
    "backbone.": "transformer_backbone.",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "bottleneck": "final_down_then_up",
    "gene_decoder": "gene_decoder.decoder",
    "confidence.token": "confidence_token.confidence_token",
    "confidence.head": "confidence_token.confidence_projection",
}


def original_name(name: str) -> str:
    for ours, theirs in ORIGINAL_NAMES.items():
        name = name.replace(ours, theirs)
    return name


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_of_the_original_has_its_place(case: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    saved = network(case)
    weights = {original_name(name): tensor for name, tensor in saved.state_dict().items()}
    weights["transformer_backbone.embed_tokens.weight"] = torch.zeros(32_000, 16)
    torch.save({"state_dict": weights}, tmp_path / "last.ckpt")
    model = network(case)
    start = start_from(tmp_path / "last.ckpt", model, list(weights))
    assert start.problems == []
    start.load()
    torch.testing.assert_close(model.state_dict(), saved.state_dict(), rtol=0, atol=0)
