"""Train the original for a few steps, as its users do, and write what it then predicts.

It is run by a Python that has the package arc-state:

    python arc_state_run.py BACKBONE PLAN.toml BATCH.pt FOLDER

trains in FOLDER/BACKBONE, and writes FOLDER/BACKBONE.pt. The blocks of GPT-2 need a version of the
transformers package before 5, with which alone the original can build them.
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CELLS, WIDTH = 8, 24
OF_BACKBONE = {
    "llama": [
        "model=state_sm",
        *(
            f"model.kwargs.transformer_backbone_kwargs.{name}={value}"
            for name, value in {
                "hidden_size": WIDTH,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "head_dim": 6,
            }.items()
        ),
    ],
    "gpt2": [
        "model=pertsets",
        *(
            f"model.kwargs.transformer_backbone_kwargs.{name}={value}"
            for name, value in {"n_embd": WIDTH, "n_layer": 2, "n_head": 4}.items()
        ),
    ],
}


def train(backbone: str, plan: Path, folder: Path) -> None:
    """Train by the original's own command."""
    command = [
        str(Path(sys.executable).with_name("state")),
        *("tx", "train", *OF_BACKBONE[backbone]),
        *(f"output_dir={folder}", f"name={backbone}", "use_wandb=false"),
        f"model.kwargs.cell_set_len={CELLS}",
        f"model.kwargs.hidden_dim={WIDTH}",
        *("training.max_steps=3", "training.val_freq=2", "training.batch_size=2"),
        "training.lr=0.05",  # so that the weights are far from where they begin
        *(
            f"data.kwargs.{name}={value}"
            for name, value in {
                "toml_config_path": plan,
                "num_workers": 0,
                "pin_memory": "false",
                "embed_key": "X_hvg",
                "output_space": "gene",
                "batch_col": "batch_var",
                "pert_col": "target_gene",
                "cell_type_key": "cell_type",
                "control_pert": "non-targeting",
            }.items()
        ),
    ]
    subprocess.run(command, check=True)


def see_all(model: Any) -> None:
    """Take the causal mask off blocks of GPT-2, as the original means to."""
    from transformers import GPT2Model

    backbone = model.transformer_backbone

    def forward(*, inputs_embeds: Tensor, **_: Any) -> Any:
        sets, cells = inputs_embeds.shape[:2]
        mask = torch.zeros(sets, 1, cells, cells)
        return GPT2Model.forward(backbone, inputs_embeds=inputs_embeds, attention_mask=mask)

    backbone.forward = forward


def predict(model: Any, batch: dict[str, Tensor], cells: int) -> Tensor:
    """What it makes of the first cells of each set."""
    basal = batch["basal"][:, :cells]
    given = {
        "ctrl_cell_emb": basal.flatten(0, 1),
        "pert_emb": batch["perturbation"].repeat_interleave(cells, dim=0),
        "batch": torch.zeros(len(basal) * cells, dtype=torch.int64),
    }
    model.cell_sentence_len = cells
    return model(given).view_as(basal)


def main(backbone: str, plan: Path, batch: Path, folder: Path) -> None:
    """Train, and write what is predicted."""
    from state.tx.models.state_transition import StateTransitionPerturbationModel

    train(backbone, plan, folder)
    run = folder / backbone
    model = StateTransitionPerturbationModel.load_from_checkpoint(run / "checkpoints" / "last.ckpt")
    model = model.cpu().eval()
    given = torch.load(batch, weights_only=True)
    with torch.no_grad():
        outputs = {"as it is": predict(model, given, CELLS), "one cell": predict(model, given, 1)}
        if backbone == "gpt2":
            see_all(model)
            outputs["seeing all"] = predict(model, given, CELLS)
    vectors = torch.load(run / "pert_onehot_map.pt", weights_only=False)
    vectors = {str(name): vector for name, vector in vectors.items()}
    torch.save({"outputs": outputs, "vectors": vectors}, folder / f"{backbone}.pt")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
