"""Write checkpoints of the original network with random weights, inputs, and what it gives.

It is run by a Python that has the package arc-state:

    python arc_state_outputs.py FOLDER
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import sys
from pathlib import Path
from typing import Any

import torch

SETS, CELLS, GENES, VECTOR, DECODED, BATCHES = 2, 6, 17, 5, 11, 3
DECODER = [12, 9]
CASES: dict[str, dict[str, Any]] = {
    "gene": {"output_space": "gene", "embed_key": "X_hvg"},
    "all": {"output_space": "all", "embed_key": None},
    "embedding": {"output_space": "gene", "embed_key": "X_emb"},
    "decoded": {"output_space": "gene", "embed_key": "X_emb", "gene_decoder_bool": True},
    "decoded_all": {"output_space": "all", "embed_key": "X_emb", "gene_decoder_bool": True},
    "no_residual": {"output_space": "gene", "embed_key": "X_hvg", "predict_residual": False},
    "mlp": {"output_space": "gene", "embed_key": "X_hvg", "use_basal_projection": True},
    "tokens": {
        "output_space": "gene",
        "embed_key": "X_hvg",
        "batch_encoder": True,
        "confidence_token": True,
    },
}
BACKBONE = {
    "bidirectional_attention": True,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 4,
    "max_position_embeddings": CELLS + 1,
    "use_cache": False,
    "attention_dropout": 0.0,
    "hidden_dropout": 0.0,
    "layer_norm_eps": 1e-6,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "rotary_dim": 0,
    "use_rotary_embeddings": False,
}


def main(case: str, folder: Path) -> None:
    """Write CASE.ckpt and CASE.pt."""
    from state.tx.models.state_transition import StateTransitionPerturbationModel

    torch.manual_seed(0)
    options = {
        "decoder_hidden_dims": DECODER,
        "n_encoder_layers": 3,
        "n_decoder_layers": 2,
        "predict_residual": True,
        "use_basal_projection": False,
        **CASES[case],
    }
    decoder = {
        "latent_dim": GENES,
        "gene_dim": DECODED,
        "hidden_dims": DECODER,
        "dropout": 0.1,
        "residual_decoder": False,
    }
    model = StateTransitionPerturbationModel(
        input_dim=GENES,
        hidden_dim=16,
        output_dim=GENES,
        pert_dim=VECTOR,
        gene_dim=DECODED,
        hvg_dim=DECODED,
        gene_names=None,
        batch_dim=BATCHES,
        cell_set_len=CELLS,
        distributional_loss="energy",
        transformer_backbone_key="llama",
        transformer_backbone_kwargs=BACKBONE,
        decoder_cfg=decoder if options.get("gene_decoder_bool") else None,
        **options,
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=0.05, std=0.3)
    basal = torch.rand(SETS, CELLS, GENES)
    perturbation = torch.randn(SETS, VECTOR)
    batch = torch.randint(BATCHES, (SETS, CELLS))
    given = {
        "ctrl_cell_emb": basal.flatten(0, 1),
        "pert_emb": perturbation.repeat_interleave(CELLS, dim=0),
        "batch": batch.flatten(),
    }
    with torch.no_grad():
        found = model(given)
        cells, confidence = found if isinstance(found, tuple) else (found, None)
        decode = getattr(model, "gene_decoder", None)
        outputs = {
            "cells": cells.view(SETS, CELLS, GENES),
            "genes": None if decode is None else decode(cells).view(SETS, CELLS, DECODED),
            "confidence": None if confidence is None else confidence.view(SETS),
        }
    torch.save({"state_dict": model.state_dict(), "epoch": 1}, folder / f"{case}.ckpt")
    inputs = {"basal": basal, "perturbation": perturbation, "batch": batch}
    torch.save({"inputs": inputs, "outputs": outputs}, folder / f"{case}.pt")


if __name__ == "__main__":
    for name in CASES:
        main(name, Path(sys.argv[1]))
