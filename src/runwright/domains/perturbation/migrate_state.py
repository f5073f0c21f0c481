"""Moving here from STATE: what becomes of each setting of `state tx train`.

What a setting does in the original was read and tried in arc-state 0.11.1 with cell-load 0.10.4.
Imports nothing heavy.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar, Final

from typing_extensions import override

from runwright import Inert, Migration, NoEqual, Original, Rule, Taken, UserError, command

_MODELS: Final = ("pertsets", "state", "neuralot")
_MEMBERS: Final = {"llama": ("state_sm", "llama"), "GPT2": ("pertsets", "gpt2")}

_DATA: Final = "data.kwargs"
_MODEL: Final = "model.kwargs"
_BACKBONE: Final = f"{_MODEL}.transformer_backbone_kwargs"

_UNREAD: Final = "nothing reads it"
_NOT_DECODED: Final = "no genes are decoded with these data"
_NO_TOKENS: Final = "the backbone gets cells, not words"
_ONLY_COUNTS: Final = "it only counts operations"
_CONCENTRATION_CONTROL: Final = "[('DMSO_TF', 0.0, 'uM')]"
_PLACEHOLDER: Final = "your_entity_name"


@command("migrate state")
class MigrateState(Migration):
    """Write the experiment file that equals a configuration of STATE's `state tx train`.

    It is what the original does, not what its keys are called: a setting that nothing reads there
    is left out here, and said to be.
    """

    program: ClassVar[str] = "STATE"

    @override
    def choices(self, original: Original) -> Mapping[str, str]:
        """Choose the data and, by the backbone, the model.

        Raises:
            UserError: it is no configuration of STATE, or of another of its models.
        """
        name = original.get("model.name")
        if not isinstance(name, str) or not original.has("data.kwargs"):
            raise UserError(
                "This is no configuration of `state tx train`: it has no "
                f"{'data.kwargs' if isinstance(name, str) else 'model.name'}. Name the config.yaml "
                "that a run of STATE saved, or STATE's main file with data/, model/, training/ "
                "and wandb/ beside it."
            )
        if name.lower() not in _MODELS:
            raise UserError(
                f"model.name={name}: only STATE's own model is migrated, called PertSets or state. "
                "Baselines are chosen by name here, `python main.py dm=perturbation --help`."
            )
        if original.get(f"{_DATA}.toml_config_path") is None:
            raise UserError(
                "data.kwargs.toml_config_path is not given, and STATE does not train without it. "
                "Add it as an override, data.kwargs.toml_config_path=FILE.toml."
            )
        key = original.get(f"{_MODEL}.transformer_backbone_key", "GPT2")
        if key not in _MEMBERS:
            raise UserError(
                f"model.kwargs.transformer_backbone_key={key} is no backbone of STATE's. "
                f"Allowed: {', '.join(_MEMBERS)}."
            )
        model, backbone = _MEMBERS[key]
        return {"dm": "perturbation", "model": model, "model/backbone": backbone}

    @override
    def constants(self, original: Original) -> Mapping[str, tuple[Any, str]]:
        del original
        return {
            "opt.optimizer_cls": ("torch.optim.Adam", "there is no other optimiser"),
            "opt.weight_decay": (0.0, "Adam gets nothing but the learning rate"),
            "opt.schedule": ("constant", "the learning rate does not change"),
            "training.float32_precision": ("medium", "it rounds the factors of fp32 products"),
        }

    @override
    def rules(self, original: Original) -> Sequence[Rule]:
        key = original.get(f"{_MODEL}.transformer_backbone_key", "GPT2")
        backbone = _LLAMA if key == "llama" else _GPT2
        known = {rule.key for rule in backbone}
        other = [
            Rule.inert(rule.key, f"it is of the other backbone, not of {key}")
            for rule in (*_LLAMA, *_GPT2)
            if rule.key not in known
        ]
        return [*_DATA_RULES, *_MODEL_RULES, *backbone, *other, *_TRAINING_RULES, *_MAIN_RULES]


# The data.


def _predicts_variable_genes(original: Original) -> bool:
    return (
        original.get(f"{_DATA}.embed_key") == "X_hvg"
        and original.get(f"{_DATA}.output_space") != "all"
    )


def _is_decoded(original: Original) -> bool:
    """Whether a decoder of genes is trained."""
    return (
        original.get(f"{_DATA}.embed_key") is not None
        and original.get(f"{_DATA}.output_space") in ("gene", "all")
        and not _predicts_variable_genes(original)
        and original.get(f"{_MODEL}.gene_decoder_bool", True)
    )


def _embed_key(value: Any, original: Original) -> Taken:
    if _predicts_variable_genes(original):
        note = "X_hvg is the expression of the variable genes, as dm.output_space=gene gives it"
        return Taken({"dm.embed_key": None}, note)
    return Taken({"dm.embed_key": value})


def _output_space(value: Any, original: Original) -> Taken | NoEqual:
    if _predicts_variable_genes(original):
        return Taken({"dm.output_space": "gene"})
    if original.get(f"{_DATA}.embed_key") is None and value != "all":
        why = "without an embedding it predicts all genes, but not with the layer that all adds"
        way = "dm.output_space=gene would predict the variable genes only"
        return NoEqual(why, way, {"dm.output_space": "all"})
    if _is_decoded(original) or original.get(f"{_DATA}.embed_key") is None:
        return Taken({"dm.output_space": value})
    clipped = "here the values of an embedding below 0 are not set to 0"
    if value == "all":
        options = {"dm.output_space": value, "objective.decoder_loss_weight": 0.0}
        return Taken(options, f"its genes are not decoded; {clipped}")
    return Taken({"dm.output_space": "embedding"}, clipped)


def _control(value: Any, original: Original) -> Taken:
    if original.get(f"{_DATA}.pert_col") == "drugname_drugconc":
        note = "the only control with pert_col=drugname_drugconc"
        return Taken({"dm.control_pert": _CONCENTRATION_CONTROL}, note)
    return Taken({"dm.control_pert": value})


def _downsample_cells(value: Any, _: Original) -> Taken:
    note = "" if value is None else "here of the training only"
    return Taken({"dm.downsample_cells": value}, note)


def _val_subsample(value: Any, _: Original) -> Taken:
    if value in (None, 1.0):
        return Taken({"dm.val_subsample_fraction": None})
    note = "of the cells here, of the cell types in the original"
    return Taken({"dm.val_subsample_fraction": value}, note)


_DATA_RULES: Final = [
    Rule.only(
        "data.name",
        "PerturbationDataModule",
        why="it is another data module",
        way="dm=perturbation reads h5ad files that a TOML file names",
    ),
    Rule.taken(f"{_DATA}.toml_config_path", "dm.toml_config_path"),
    Rule(f"{_DATA}.embed_key", _embed_key),
    Rule(f"{_DATA}.output_space", _output_space),
    Rule.inert(f"{_DATA}.pert_rep", "perturbation_features_file decides"),
    Rule.inert(f"{_DATA}.basal_rep", _UNREAD),
    Rule.taken(f"{_DATA}.num_workers", "dm.num_workers"),
    Rule.inert(f"{_DATA}.pin_memory", "memory is always pinned, here if there is a GPU"),
    Rule.inert(f"{_DATA}.n_basal_samples", "one control is taken whatever it is"),
    Rule.only(
        f"{_DATA}.downsample",
        *(None, 1.0),
        why="it draws fewer counts from each cell",
        way="Do it once, when the files are written",
    ),
    Rule(f"{_DATA}.downsample_cells", _downsample_cells),
    Rule.inert(f"{_DATA}.additional_obs", "training does not read these columns"),
    Rule.taken(f"{_DATA}.basal_mapping_strategy", "dm.basal_mapping_strategy"),
    Rule.taken(f"{_DATA}.should_yield_control_cells", "dm.should_yield_control_cells", absent=True),
    Rule.taken(f"{_DATA}.batch_col", "dm.batch_col", absent="gem_group"),
    Rule.taken(f"{_DATA}.pert_col", "dm.pert_col", absent="gene"),
    Rule.taken(f"{_DATA}.cell_type_key", "dm.cell_type_key", absent="cell_type"),
    Rule(f"{_DATA}.control_pert", _control, absent="non-targeting"),
    Rule.inert(f"{_DATA}.map_controls", "controls are predicted from others whatever it is"),
    Rule.taken(f"{_DATA}.perturbation_features_file", "dm.perturbation_features_file"),
    Rule.inert(f"{_DATA}.store_raw_basal", "the model does not read the counts of the controls"),
    Rule.inert(f"{_DATA}.int_counts", _UNREAD),
    Rule.inert(f"{_DATA}.barcode", "training does not read barcodes"),
    Rule.only(
        f"{_DATA}.use_consecutive_loading",
        False,
        why="it makes sets of cells that are neighbours in the file",
        way="Leave it out: random sets are as fast here",
    ),
    Rule(f"{_DATA}.val_subsample_fraction", _val_subsample),
    Rule.only(
        f"{_DATA}.cache_perturbation_control_pairs",
        False,
        why="it keeps the first control that each cell was given for the whole training",
        way="Leave it out: in every epoch a cell gets another control",
    ),
    Rule.only(
        f"{_DATA}.drop_last",
        False,
        why="it leaves out cells that do not fill a set",
        way="Leave it out: such sets are filled by drawing their cells again",
    ),
    *(Rule.inert(f"{at}.output_dir", _UNREAD) for at in (_DATA, "data")),
    *(Rule.inert(f"{at}.debug", _UNREAD) for at in (_DATA, "data")),
]


# The model.


def _model(_value: Any, original: Original) -> Taken:
    model, _ = _MEMBERS[original.get(f"{_MODEL}.transformer_backbone_key", "GPT2")]
    return Taken({}, f"dm=perturbation model={model}")


def _loss_name(original: Original) -> str:
    loss = original.get(f"{_MODEL}.loss", "energy")
    return original.get(f"{_MODEL}.distributional_loss", "energy") if loss == "energy" else loss


def _loss(_value: Any, original: Original) -> Taken | NoEqual:
    name = _loss_name(original)
    if name in ("energy", "sinkhorn", "mse", "se"):
        return Taken({"objective.loss": name})
    if name in ("gaussian", "laplacian"):
        why = "the width of its kernel is blur, here it follows from the data"
        return NoEqual(why, "Compare before you rely on it", {"objective.loss": name})
    return NoEqual(f"there is no loss {name} here", "Choose another objective.loss")


def _distributional_loss(_value: Any, original: Original) -> Taken | Inert:
    loss = original.get(f"{_MODEL}.loss", "energy")
    if loss == "energy":
        return Taken({}, "with loss=energy it names the loss: objective.loss")
    return Inert(f"it is read with loss=energy only, not with loss={loss}")


def _blur(value: Any, original: Original) -> Taken | Inert:
    name = _loss_name(original)
    if name in ("sinkhorn", "se"):
        return Taken({"objective.blur": value})
    return Inert(f"loss={name} has no blur")


def _weight_of_se(usual: float, key: str) -> Rule:
    def decide(value: Any, original: Original) -> Taken | Inert | NoEqual:
        if _loss_name(original) != "se":
            return Inert("it is read with loss=se only")
        if value == usual:
            return Taken({})
        return NoEqual(f"it is {usual} here", "Write a loss of your own, if you need it")

    return Rule(f"{_MODEL}.{key}", decide)


def _decoder(key: str, to: str) -> Rule:
    """An option of the decoder of genes."""
    return Rule(
        f"{_MODEL}.{key}",
        lambda value, o: Taken({to: value}) if _is_decoded(o) else Inert(_NOT_DECODED),
    )


def _unlike_decoder(key: str, why: str, way: str, **nearest: Any) -> Rule:
    """An option of the decoder of genes that has an equal only where it is false."""

    def decide(value: Any, original: Original) -> Taken | Inert | NoEqual:
        if not _is_decoded(original):
            return Inert(_NOT_DECODED)
        near = {f"model.{name}": one for name, one in nearest.items()}
        return NoEqual(why, way, near) if value else Taken({})

    return Rule(f"{_MODEL}.{key}", decide)


def _gene_decoder_bool(_value: Any, original: Original) -> Taken | Inert:
    embed = original.get(f"{_DATA}.embed_key")
    if embed is None or _predicts_variable_genes(original):
        return Inert("the genes themselves are predicted")
    if original.get(f"{_DATA}.output_space") == "embedding":
        return Inert("output_space=embedding decodes none")
    return Taken({}, "see data.kwargs.output_space")


def _freeze(value: Any, _: Original) -> Taken:
    if not value:
        return Taken({"model.freeze_pert_backbone": False})
    options = {"model.freeze_pert_backbone": True, "finetune.freeze": ["project_out"]}
    return Taken(options, "it freezes project_out as well")


def _freeze_pert(value: Any, original: Original) -> Taken | Inert:
    if original.has(f"{_MODEL}.freeze_pert_backbone"):
        return Inert("freeze_pert_backbone, its newer name, is given")
    return _freeze(value, original)


def _confidence(value: Any, original: Original) -> Taken:
    if not value:
        return Taken({"model.confidence_token": False})
    weight = original.get(f"{_MODEL}.confidence_weight", 0.01)
    scale = original.get(f"{_MODEL}.confidence_target_scale", 10.0)
    options = {"model.confidence_token": True, "objective.confidence_weight": weight * scale**2}
    note = "the original predicts the loss times confidence_target_scale, by another head"
    return Taken(options, note)


def _of_confidence(key: str) -> Rule:
    def decide(_: Any, original: Original) -> Taken | Inert:
        if original.get(f"{_MODEL}.confidence_token", False):
            return Taken({}, "in objective.confidence_weight")
        return Inert("it is read with confidence_token only")

    return Rule(f"{_MODEL}.{key}", decide)


def _batch_token(value: Any, original: Original) -> Taken | Inert | NoEqual:
    if not value:
        return Taken({})
    if original.get(f"{_DATA}.basal_mapping_strategy") == "random":
        return Inert("it is switched off with basal_mapping_strategy=random")
    if original.get(f"{_MODEL}.batch_encoder", False):
        return Inert("it is switched off with batch_encoder")
    why = "a token joins each set, from which the batch is predicted"
    return NoEqual(why, "model.batch_encoder=true tells the model the batch instead")


def _init_from(value: Any, _: Original) -> Taken:
    if value is None:
        return Taken({"finetune.checkpoint": None})
    note = "tensors that do not fit are named; finetune.rename and finetune.reset help"
    return Taken({"finetune.checkpoint": value, "finetune.strict": False}, note)


def _lora(value: Any, _: Original) -> Taken | NoEqual:
    if not (isinstance(value, Mapping) and value.get("enable", False)):  # pyright: ignore[reportUnknownMemberType]  # from YAML
        return Taken({})
    why = "its adapters are on the backbone, while all else trains"
    return NoEqual(why, "finetune.lora adds adapters; finetune.lora.train names what else trains")


_MODEL_RULES: Final = [
    Rule("model.name", _model),
    Rule.inert("model.checkpoint", f"{_UNREAD}; model.kwargs.init_from is what loads weights"),
    Rule.inert("model.device", "a GPU is used if there is one"),
    Rule.taken(f"{_MODEL}.cell_set_len", "model.cell_set_len", absent=256),
    Rule.inert(f"{_MODEL}.extra_tokens", "it lengthens a table of positions that is zero"),
    _decoder("decoder_hidden_dims", "model.decoder_hidden_dims"),
    Rule(f"{_MODEL}.blur", _blur),
    Rule.taken(f"{_MODEL}.hidden_dim", "model.hidden_dim"),
    Rule(f"{_MODEL}.loss", _loss, absent="energy"),
    Rule(f"{_MODEL}.confidence_token", _confidence),
    _of_confidence("confidence_target_scale"),
    _of_confidence("confidence_weight"),
    Rule.inert(f"{_MODEL}.confidence_head", f"{_UNREAD}; the key is confidence_token"),
    Rule.taken(f"{_MODEL}.n_encoder_layers", "model.n_encoder_layers", absent=2),
    Rule.taken(f"{_MODEL}.n_decoder_layers", "model.n_decoder_layers", absent=2),
    Rule.taken(f"{_MODEL}.predict_residual", "model.predict_residual", absent=True),
    Rule.inert(f"{_MODEL}.softplus", f"{_UNREAD}; expression ends with a ReLU"),
    Rule(f"{_MODEL}.freeze_pert_backbone", _freeze),
    Rule(f"{_MODEL}.freeze_pert", _freeze_pert),
    Rule.inert(f"{_MODEL}.transformer_decoder", _UNREAD),
    Rule.only(
        f"{_MODEL}.finetune_vci_decoder",
        False,
        why="it decodes genes with STATE's embedding model",
        way="The genes are decoded here by a network that is trained with the rest",
    ),
    _unlike_decoder(
        "residual_decoder",
        "it adds what every second layer of the decoder gets to what it gives",
        "model.decoder_hidden_dims is a decoder without that",
    ),
    Rule.taken(f"{_MODEL}.batch_encoder", "model.batch_encoder"),
    Rule(f"{_MODEL}.use_batch_token", _batch_token),
    Rule.inert(f"{_MODEL}.batch_predictor", "what it builds is dropped before the training"),
    Rule.inert(f"{_MODEL}.nb_decoder", _UNREAD),
    Rule.inert(f"{_MODEL}.decoder_loss_weight", "it is decoder_weight that is read"),
    _decoder("decoder_weight", "objective.decoder_loss_weight"),
    _unlike_decoder(
        "detach_decoder",
        "in a tenth of the steps it trains the decoder on real embeddings",
        "Here it always trains on those that are predicted",
        detach_decoder=True,
    ),
    Rule(f"{_MODEL}.gene_decoder_bool", _gene_decoder_bool),
    Rule.taken(f"{_MODEL}.use_basal_projection", "model.use_basal_projection", absent=True),
    Rule.only(
        f"{_MODEL}.mask_attn",
        False,
        why="it masks nothing, but raises the attention of each cell to itself by a constant",
        way="Leave it out: every cell sees every other",
    ),
    Rule.inert(f"{_MODEL}.use_effect_gating_token", _UNREAD),
    Rule(f"{_MODEL}.distributional_loss", _distributional_loss),
    _weight_of_se(0.01, "sinkhorn_weight"),
    _weight_of_se(1.0, "energy_weight"),
    Rule.taken(f"{_MODEL}.regularization", "objective.regularization"),
    Rule(f"{_MODEL}.init_from", _init_from),
    Rule.only(
        f"{_MODEL}.mmd_num_chunks",
        1,
        why="it is the mean loss of several parts of the genes",
        way="The loss here is of all genes together",
    ),
    Rule.only(
        f"{_MODEL}.randomize_mmd_chunks",
        False,
        why="it shuffles the parts of mmd_num_chunks",
        way="The loss here is of all genes together",
    ),
    Rule.only(
        f"{_MODEL}.activation", "gelu", why="it is GELU here", way="There is no option for another"
    ),
    Rule.only(f"{_MODEL}.dropout", 0.1, why="it is 0.1 here", way="There is no option for another"),
    Rule(f"{_MODEL}.lora", _lora),
    Rule.inert(f"{_MODEL}.llm_name", _UNREAD),
    Rule.inert(f"{_MODEL}.predict_mean", _UNREAD),
    Rule(
        f"{_MODEL}.transformer_backbone_key",
        lambda value, _: Taken({}, f"model/backbone={_MEMBERS[value][1]}"),
        absent="GPT2",
    ),
]


# The backbone.


def _length(value: Any, original: Original) -> Taken | Inert | NoEqual:
    """`n_positions`, or else `max_position_embeddings`: the size of the sets that are cut."""
    if value == original.get(f"{_MODEL}.cell_set_len", 256):
        return Taken({}, "dm.cell_set_len follows model.cell_set_len")
    why = "it cuts sets of this size, and gives the model sets of cell_set_len cells"
    return NoEqual(why, "Sets have model.cell_set_len cells")


def _second_length(value: Any, original: Original) -> Taken | Inert | NoEqual:
    if original.has(f"{_BACKBONE}.n_positions"):
        return Inert("n_positions decides")
    return _length(value, original)


def _width(value: Any, original: Original) -> Taken | NoEqual:
    if value == original.get(f"{_MODEL}.hidden_dim"):
        return Taken({}, "it is model.hidden_dim here")
    return NoEqual("it must be hidden_dim, or the original stops", "model.hidden_dim is both")


def _both_ways(value: Any, _: Original) -> Taken | NoEqual:
    if value is None:
        note = (
            "the version of the seed always did, and had no such key; with arc-state 0.11.1 this "
            "configuration is causal and has positions"
        )
        return Taken({}, note)
    if value:
        return Taken({}, "every cell sees every other")
    why = "a cell sees only those before it, and has a position"
    return NoEqual(why, "Every cell of a set sees every other here")


def _of_backbone(name: str, absent: Any) -> Rule:
    return Rule.taken(f"{_BACKBONE}.{name}", f"model.backbone.{name}", absent=absent)


_LLAMA: Final = [
    Rule(f"{_BACKBONE}.bidirectional_attention", _both_ways, absent=None),
    Rule(f"{_BACKBONE}.n_positions", _length),
    Rule(f"{_BACKBONE}.max_position_embeddings", _second_length),
    Rule(f"{_BACKBONE}.hidden_size", _width),
    _of_backbone("intermediate_size", 11008),
    _of_backbone("num_hidden_layers", 32),
    _of_backbone("num_attention_heads", 32),
    Rule(
        f"{_BACKBONE}.num_key_value_heads",
        lambda value, original: Taken(
            {
                "model.backbone.num_key_value_heads": value
                or original.get(f"{_BACKBONE}.num_attention_heads", 32)
            }
        ),
        absent=None,
    ),
    _of_backbone("head_dim", None),
    Rule.inert(f"{_BACKBONE}.use_cache", "no sequence is generated"),
    _of_backbone("attention_dropout", 0.0),
    Rule.inert(f"{_BACKBONE}.hidden_dropout", "LLaMA's blocks do not read it"),
    Rule.inert(f"{_BACKBONE}.layer_norm_eps", "LLaMA's blocks read rms_norm_eps"),
    Rule.taken(f"{_BACKBONE}.rms_norm_eps", "model.backbone.layer_norm_eps", absent=1e-6),
    *(
        Rule.inert(f"{_BACKBONE}.{name}", _NO_TOKENS)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings")
    ),
    Rule.inert(f"{_BACKBONE}.rotary_dim", "LLaMA's blocks do not read it"),
    Rule.inert(f"{_BACKBONE}.use_rotary_embeddings", "rotary positions are off without it"),
]

_GPT2: Final = [
    Rule(f"{_BACKBONE}.n_positions", _length),
    Rule(f"{_BACKBONE}.max_position_embeddings", _second_length),
    Rule(f"{_BACKBONE}.hidden_size", _width),
    Rule(f"{_BACKBONE}.n_embd", _width),
    _of_backbone("n_layer", 12),
    _of_backbone("n_head", 12),
    # Other names of the two, which count where both are given.
    Rule.taken(f"{_BACKBONE}.num_hidden_layers", "model.backbone.n_layer"),
    Rule.taken(f"{_BACKBONE}.num_attention_heads", "model.backbone.n_head"),
    _of_backbone("resid_pdrop", 0.1),
    _of_backbone("embd_pdrop", 0.1),
    _of_backbone("attn_pdrop", 0.1),
    Rule.inert(f"{_BACKBONE}.use_cache", "no sequence is generated"),
]


# Training, logging, and the run itself.


def _batch_size(value: Any, original: Original) -> Taken:
    devices = original.get("training.devices", 1)
    if isinstance(devices, int) and devices > 1:
        return Taken({"dm.batch_size": value * devices}, "of all processes together")
    return Taken({"dm.batch_size": value})


def _devices(value: Any, _: Original) -> Taken | NoEqual:
    if value == 1:
        return Taken({})
    if isinstance(value, int) and value > 1:
        return Taken({}, f"start it with torchrun --nproc-per-node={value} main.py …")
    why = "how many processes train follows from how they are started"
    return NoEqual(why, "Start it with torchrun, and set dm.batch_size for all of them together")


def _strategy(value: Any, _: Original) -> Taken | NoEqual:
    if value in ("auto", "ddp"):
        return Taken({})
    if value == "ddp_find_unused_parameters_true":
        return Taken({"training.find_unused_parameters": True})
    if value == "fsdp":
        return Taken({"training.parallel": "fsdp"})
    return NoEqual("there is no such strategy here", "Choose training.parallel=ddp or fsdp")


def _val_every(value: Any, original: Original) -> Taken:
    batches = original.get("training.gradient_accumulation_steps", 1)
    if batches == 1:
        return Taken({"training.val_every": value})
    return Taken({"training.val_every": max(1, value // batches)}, "it counts batches, not steps")


def _run_directory(value: Any, original: Original) -> Taken:
    folder = str(PurePosixPath(str(original.get("output_dir", "."))) / str(value))
    return Taken({"hydra.run.dir": folder, "wandb.name": value})


_TRAINING_RULES: Final = [
    Rule.inert("training.wandb_track", f"{_UNREAD}; use_wandb decides"),
    Rule.inert("training.weight_decay", "the optimiser does not get it"),
    Rule("training.batch_size", _batch_size),
    Rule.taken("training.lr", "opt.lr", absent=3e-4),
    Rule.taken("training.max_steps", "training.max_steps"),
    Rule.taken("training.train_seed", "seed"),
    Rule("training.val_freq", _val_every),
    Rule.taken(
        "training.ckpt_every_n_steps",
        "checkpoint.keep_every",
        note="nothing in arc-state 0.11.1 reads it; what is kept here changes no result",
    ),
    Rule.taken(
        "training.gradient_clip_val", "training.clip_grad", convert=lambda value: value or None
    ),
    Rule.taken("training.gradient_accumulation_steps", "training.accumulate_grad_batches"),
    Rule.inert("training.loss_fn", "model.kwargs.loss decides"),
    Rule("training.devices", _devices),
    Rule("training.strategy", _strategy),
    Rule.taken("training.log_every_n_steps", "training.log_every"),
    Rule.inert("training.use_mfu", _ONLY_COUNTS),
    Rule.inert("training.mfu_kwargs", _ONLY_COUNTS),
    Rule.inert("training.cumulative_flops_use_backward", _ONLY_COUNTS),
    Rule.taken(
        "wandb.entity",
        "wandb.entity",
        convert=lambda value: None if value == _PLACEHOLDER else value,
        note=f"{_PLACEHOLDER} stands for a name of yours",
    ),
    Rule.taken("wandb.project", "wandb.project"),
    Rule.taken("wandb.local_wandb_dir", "wandb.dir"),
    Rule.taken("wandb.tags", "wandb.tags"),
]

_MAIN_RULES: Final = [
    Rule("name", _run_directory),
    Rule("output_dir", lambda _value, _: Taken({}, "in hydra.run.dir")),
    Rule.taken("use_wandb", "wandb.mode", convert=lambda value: "online" if value else "disabled"),
    Rule.only(
        "overwrite",
        False,
        why="no file may say so here, only a command",
        way="Add overwrite=true to the command",
    ),
    *(Rule.inert(key, _UNREAD) for key in ("return_adatas", "pred_adata_path", "true_adata_path")),
]
