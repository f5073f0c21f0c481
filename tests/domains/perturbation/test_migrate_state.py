"""What becomes of STATE's settings: what the original does with them, not what they are called."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from domains.perturbation.state_seed import COMMAND, FILES, MAIN, TOML
from runwright import Inert, Migration, NoEqual, Original, Taken, UserError, compose
from runwright.__main__ import main
from runwright.domains.perturbation.migrate_state import MigrateState
from runwright.migration.migration import Migrated, read_original
from runwright.plain import leaves, plain_values

GIVEN = f"data.kwargs.toml_config_path={TOML}"
BACKBONE = "model.kwargs.transformer_backbone_kwargs"
NOT_SET: dict[str, Any] = {}


def migrated(*overrides: str, model: str = "state_sm") -> Migrated:
    original = read_original([MAIN], [GIVEN, f"model={model}", *overrides])
    return MigrateState().migrated(Original(original))


def fate(key: str, *overrides: str, model: str = "state_sm") -> Taken | Inert | NoEqual:
    found = migrated(*overrides, model=model)
    return {one: fate for one, _, _, fate in found.fates}[key]


def test_every_setting_of_the_documented_files_is_known() -> None:
    for model in ("pertsets", "state_sm"):
        found = migrated(model=model)
        assert found.unknown == {}
        values = read_original([MAIN], [GIVEN, f"model={model}"])
        told = {key for key, _, is_given, _ in found.fates if is_given}
        assert told == {key for key, _ in leaves(values)}


@pytest.mark.parametrize(
    ("model", "key", "overrides", "options"),
    [
        # Joined settings of the data.
        ("state_sm", "data.kwargs.embed_key", ["data.kwargs.embed_key=X_state"], "X_state"),
        (
            "pertsets",
            "data.kwargs.output_space",
            ["data.kwargs.embed_key=X_state", "data.kwargs.output_space=gene"],
            {"dm.output_space": "gene"},
        ),
        (
            "state_sm",
            "data.kwargs.output_space",
            ["data.kwargs.embed_key=X_state", "data.kwargs.output_space=gene"],
            {"dm.output_space": "embedding"},
        ),
        (
            "state_sm",
            "data.kwargs.output_space",
            ["data.kwargs.embed_key=X_state", "data.kwargs.output_space=all"],
            {"dm.output_space": "all", "objective.decoder_loss_weight": 0.0},
        ),
        (
            "state_sm",
            "data.kwargs.embed_key",
            ["data.kwargs.embed_key=X_hvg", "data.kwargs.output_space=gene"],
            {"dm.embed_key": None},
        ),
        (
            "state_sm",
            "data.kwargs.control_pert",
            ["data.kwargs.pert_col=drugname_drugconc"],
            {"dm.control_pert": "[('DMSO_TF', 0.0, 'uM')]"},
        ),
        ("state_sm", "data.kwargs.n_basal_samples", ["data.kwargs.n_basal_samples=4"], Inert),
        # The model.
        ("state_sm", "model.kwargs.loss", ["model.kwargs.loss=mse"], {"objective.loss": "mse"}),
        (
            "state_sm",
            "model.kwargs.loss",
            ["model.kwargs.distributional_loss=sinkhorn"],
            {"objective.loss": "sinkhorn"},
        ),
        (
            "state_sm",
            "model.kwargs.distributional_loss",
            ["model.kwargs.distributional_loss=sinkhorn", "model.kwargs.loss=mse"],
            Inert,
        ),
        (
            "state_sm",
            "model.kwargs.loss",
            ["model.kwargs.distributional_loss=gaussian"],
            NoEqual,
        ),
        ("state_sm", "model.kwargs.blur", ["model.kwargs.blur=0.1"], Inert),
        (
            "state_sm",
            "model.kwargs.blur",
            ["model.kwargs.blur=0.1", "model.kwargs.loss=se"],
            {"objective.blur": 0.1},
        ),
        ("state_sm", "model.kwargs.softplus", ["model.kwargs.softplus=false"], Inert),
        ("state_sm", "model.kwargs.confidence_head", ["model.kwargs.confidence_head=true"], Inert),
        (
            "pertsets",
            "model.kwargs.confidence_token",
            ["model.kwargs.confidence_token=true"],
            {"model.confidence_token": True, "objective.confidence_weight": 1.0},
        ),
        (
            "state_sm",
            "model.kwargs.freeze_pert",
            ["model.kwargs.freeze_pert=true"],
            {"model.freeze_pert_backbone": True, "finetune.freeze": ["project_out"]},
        ),
        ("pertsets", "model.kwargs.freeze_pert", ["+model.kwargs.freeze_pert=true"], Inert),
        ("state_sm", "model.kwargs.mask_attn", ["model.kwargs.mask_attn=true"], NoEqual),
        ("pertsets", "model.kwargs.decoder_hidden_dims", [], Inert),
        (
            "pertsets",
            "model.kwargs.decoder_hidden_dims",
            ["data.kwargs.embed_key=X_state", "model.kwargs.decoder_hidden_dims=[8,9]"],
            {"model.decoder_hidden_dims": [8, 9]},
        ),
        (
            "pertsets",
            "model.kwargs.decoder_loss_weight",
            ["data.kwargs.embed_key=X_state", "model.kwargs.decoder_loss_weight=2"],
            Inert,
        ),
        (
            "pertsets",
            "model.kwargs.residual_decoder",
            ["data.kwargs.embed_key=X_state", "model.kwargs.residual_decoder=true"],
            NoEqual,
        ),
        (
            "state_sm",
            "model.kwargs.use_basal_projection",
            ["~model.kwargs.use_basal_projection"],
            {"model.use_basal_projection": True},
        ),
        (
            "state_sm",
            "model.kwargs.n_encoder_layers",
            ["~model.kwargs.n_encoder_layers"],
            {"model.n_encoder_layers": 2},
        ),
        ("state_sm", "model.kwargs.lora", ["+model.kwargs.lora.enable=false"], NOT_SET),
        ("state_sm", "model.kwargs.lora", ["+model.kwargs.lora.enable=true"], NoEqual),
        # The backbone.
        ("state_sm", f"{BACKBONE}.layer_norm_eps", [f"{BACKBONE}.layer_norm_eps=1e-5"], Inert),
        ("state_sm", f"{BACKBONE}.hidden_dropout", [f"{BACKBONE}.hidden_dropout=0.1"], Inert),
        (
            "state_sm",
            f"{BACKBONE}.rms_norm_eps",
            [f"+{BACKBONE}.rms_norm_eps=1e-5"],
            {"model.backbone.layer_norm_eps": 1e-5},
        ),
        (
            "state_sm",
            f"{BACKBONE}.num_key_value_heads",
            [f"~{BACKBONE}.num_key_value_heads"],
            {"model.backbone.num_key_value_heads": 8},
        ),
        (
            "state_sm",
            f"{BACKBONE}.bidirectional_attention",
            [f"+{BACKBONE}.bidirectional_attention=false"],
            NoEqual,
        ),
        (
            "state_sm",
            f"{BACKBONE}.max_position_embeddings",
            [f"{BACKBONE}.max_position_embeddings=64"],
            NoEqual,
        ),
        ("pertsets", f"{BACKBONE}.n_positions", ["model.kwargs.cell_set_len=64"], NOT_SET),
        (
            "pertsets",
            f"{BACKBONE}.resid_pdrop",
            [f"~{BACKBONE}.resid_pdrop"],
            {"model.backbone.resid_pdrop": 0.1},
        ),
        (
            "pertsets",
            f"{BACKBONE}.num_hidden_layers",
            [f"+{BACKBONE}.num_hidden_layers=3"],
            {"model.backbone.n_layer": 3},
        ),
        ("pertsets", f"{BACKBONE}.head_dim", [f"+{BACKBONE}.head_dim=4"], Inert),
        # Training, and the run.
        ("state_sm", "training.weight_decay", ["training.weight_decay=0.1"], Inert),
        ("state_sm", "training.loss_fn", [], Inert),
        ("state_sm", "training.batch_size", ["training.devices=4"], {"dm.batch_size": 64}),
        (
            "state_sm",
            "training.val_freq",
            ["+training.gradient_accumulation_steps=4"],
            {"training.val_every": 500},
        ),
        (
            "state_sm",
            "training.gradient_clip_val",
            ["training.gradient_clip_val=0"],
            {"training.clip_grad": None},
        ),
        (
            "state_sm",
            "training.strategy",
            ["training.strategy=ddp_find_unused_parameters_true"],
            {"training.find_unused_parameters": True},
        ),
        ("state_sm", "wandb.entity", ["wandb.entity=lab"], {"wandb.entity": "lab"}),
        ("state_sm", "use_wandb", ["use_wandb=false"], {"wandb.mode": "disabled"}),
        (
            "state_sm",
            "name",
            ["output_dir=./a", "name=b"],
            {"hydra.run.dir": "a/b", "wandb.name": "b"},
        ),
        ("state_sm", "overwrite", ["overwrite=true"], NoEqual),
    ],
)
def test_a_setting_becomes_what_the_original_does(
    model: str, key: str, overrides: list[str], options: Any
) -> None:
    found = fate(key, *overrides, model=model)
    if isinstance(options, type):
        assert isinstance(found, options)
    else:
        assert isinstance(found, Taken)
        wanted = (
            options if isinstance(options, dict) else {key.replace("data.kwargs", "dm"): options}
        )
        assert found.options == wanted


@pytest.mark.parametrize("model", ["pertsets", "state_sm"])
def test_what_the_original_saves_becomes_the_same_experiment(model: str, tmp_path: Path) -> None:
    command = [one for one in COMMAND if not one.startswith("model=")]
    of_files = read_original([MAIN], [*command, f"model={model}"])
    saved = tmp_path / "config.yaml"
    OmegaConf.save(OmegaConf.create(of_files), saved)
    assert MigrateState().migrated(Original(read_original([saved]))) == MigrateState().migrated(
        Original(of_files)
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=pertsets"],
        ["model=pertsets", "model.kwargs.confidence_token=true", "model.kwargs.batch_encoder=true"],
        ["model=state_sm", "model.kwargs.freeze_pert=true", "model.kwargs.loss=se"],
        ["model=pertsets", "data.kwargs.embed_key=X_state", "data.kwargs.output_space=gene"],
        ["model=state_sm", "data.kwargs.embed_key=X_state"],
        ["model=state_sm", "data.kwargs.embed_key=X_hvg", "data.kwargs.output_space=gene"],
        ["model=state_sm", "training.devices=2", "model.kwargs.init_from=a.ckpt"],
        ["model.name=perturb_mean", "data.kwargs.embed_key=X_state"],
        ["model.name=CellTypeMean", "data.kwargs.embed_key=X_hvg", "data.kwargs.output_space=gene"],
    ],
)
def test_what_is_written_composes(overrides: list[str], tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    out = conf / "experiment" / "mine.yaml"
    assert main(["migrate", "state", str(MAIN), GIVEN, *overrides, "--out", str(out)]) == 0
    (conf / "config.yaml").write_text("defaults: [config_schema, dm: cmnist, model: fcn, _self_]\n")
    config = compose(["+experiment=mine"], conf=conf)
    options = dict(leaves(plain_values(config)))
    original = Original(read_original([MAIN], [GIVEN, *overrides]))
    for key, value in MigrateState().migrated(original).options.items():
        if not key.startswith("hydra."):
            assert options[key] == value, key


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            [str(MAIN)],
            (
                "data.kwargs.toml_config_path is not given, and STATE does not train without it. "
                "Add it as an override, data.kwargs.toml_config_path=FILE.toml.\n"
            ),
        ),
        (
            [str(MAIN), GIVEN, "model.name=CPA"],
            (
                "model.name=CPA: only STATE's own model is migrated, called PertSets or state, and "
                "the baselines perturb_mean and context_mean. Which models there are here is "
                "listed by `python main.py dm=perturbation --help`.\n"
            ),
        ),
        (
            [str(MAIN), GIVEN, "model.kwargs.transformer_backbone_key=bert"],
            (
                "model.kwargs.transformer_backbone_key=bert is no backbone of STATE's. "
                "Allowed: llama, GPT2.\n"
            ),
        ),
        (
            [str(FILES / "training" / "default.yaml")],
            (
                "This is no configuration of `state tx train`: it has no model.name. Name the "
                "config.yaml that a run of STATE saved, or STATE's main file with data/, model/, "
                "training/ and wandb/ beside it.\n"
            ),
        ),
        (
            [str(MAIN), "model=state_smm"],
            f"{MAIN} does not compose: In 'config': Could not find 'model/state_smm'\n",
        ),
    ],
)
def test_what_cannot_be_migrated_is_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "state", *arguments]) == 2
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("perturb_mean", "perturb_mean"),
        ("GlobalSimpleSum", "perturb_mean"),
        ("context_mean", "context_mean"),
        ("CellTypeMean", "context_mean"),
    ],
)
def test_a_baseline_becomes_the_model_of_one_epoch(name: str, here: str) -> None:
    found = migrated(f"model.name={name}", "+model.kwargs.cell_sentence_len=512", model="pertsets")
    assert found.choices == {"dm": "perturbation", "model": here}
    options = found.options
    assert {"training.epochs": 1, "dm.cell_set_len": 512, "seed": 42}.items() <= options.items()
    assert options["objective.loss"] == "mse"
    assert not [key for key in options if key.startswith(("model.", "opt.", "training.max"))]
    assert found.unknown == {}
    assert "training.max_steps=40000 → nothing to set (in training.epochs: its " in found.report()


@pytest.mark.parametrize(
    ("embed_key", "space", "options"),
    [
        ("null", "all", {"dm.embed_key": None, "dm.output_space": "all"}),
        ("null", "gene", {"dm.embed_key": None, "dm.output_space": "all"}),
        ("X_hvg", "gene", {"dm.embed_key": None, "dm.output_space": "gene"}),
        ("X_state", "gene", {"dm.embed_key": None, "dm.output_space": "gene"}),
        ("X_state", "embedding", {"dm.embed_key": "X_state", "dm.output_space": "embedding"}),
    ],
)
def test_a_baseline_predicts_what_it_does_in_the_original(
    embed_key: str, space: str, options: dict[str, Any]
) -> None:
    overrides = [f"data.kwargs.embed_key={embed_key}", f"data.kwargs.output_space={space}"]
    found = migrated("model.name=context_mean", *overrides).options
    assert options.items() <= found.items()


def test_what_a_baseline_has_no_equal_of_is_told() -> None:
    overrides = ["model.name=perturb_mean", "model.kwargs.init_from=a.ckpt", "training.loss_fn=l1"]
    report = migrated(*overrides, "+model.kwargs.dims=3").report()
    assert "model.kwargs.init_from=a.ckpt: it starts from the means of another run." in report
    assert "training.loss_fn=l1: the original knows no other loss than mse." in report
    assert "model.kwargs.dims, which was left out." in report


def test_an_unknown_setting_is_named_with_the_nearest() -> None:
    found = migrated("+data.kwargs.pert_coll=a", "+model.kwargs.transformer_kwargs.hidden_siz=3")
    assert found.unknown["data.kwargs.pert_coll"] == "data.kwargs.pert_col"
    assert "model.kwargs.transformer_kwargs.hidden_siz" in found.unknown


def test_it_is_among_the_migrations() -> None:
    assert issubclass(MigrateState, Migration)
    with pytest.raises(UserError, match="no data.kwargs"):
        MigrateState().choices(Original({"model": {"name": "state"}}))
