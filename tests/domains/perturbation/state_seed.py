"""STATE's first run as it is documented: its files, its command, and what comes of them."""

from pathlib import Path
from typing import Any, Final

FILES: Final = Path(__file__).parent / "state_config"
MAIN: Final = FILES / "config.yaml"

TOML: Final = "competition_support_set/starter.toml"
FEATURES: Final = "competition_support_set/ESM2_pert_features.pt"

COMMAND: Final = (
    f"data.kwargs.toml_config_path={TOML}",
    "data.kwargs.num_workers=4",
    "data.kwargs.batch_col=batch_var",
    "data.kwargs.pert_col=target_gene",
    "data.kwargs.cell_type_key=cell_type",
    "data.kwargs.control_pert=non-targeting",
    f"data.kwargs.perturbation_features_file={FEATURES}",
    "training.max_steps=40000",
    "training.ckpt_every_n_steps=2000",
    "model=state_sm",
    "wandb.tags=[first_run]",
    "output_dir=competition",
    "name=first_run",
)
"""The overrides of `state tx train`."""

FINAL_VALUES: Final[dict[str, Any]] = {
    "data.kwargs.toml_config_path": TOML,
    "data.kwargs.num_workers": 4,
    "data.kwargs.batch_col": "batch_var",
    "data.kwargs.pert_col": "target_gene",
    "data.kwargs.control_pert": "non-targeting",
    "data.kwargs.perturbation_features_file": FEATURES,
    "model": "state_sm",
    "model.kwargs.use_basal_projection": False,
    "model.kwargs.predict_residual": True,
    "model.kwargs.hidden_dim": 672,
    "model.kwargs.transformer_backbone_key": "llama",
    "training.max_steps": 40000,
    "training.ckpt_every_n_steps": 2000,
    "wandb.tags": ["first_run"],
    "name": "first_run",
    "output_dir": "competition",
}
"""The documented table of what each setting is in the end, a line each."""
