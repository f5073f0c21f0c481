"""What becomes of STATE's settings of the model and the loss."""

from collections.abc import Mapping
from typing import Any, Final

from runwright import Inert, NoEqual, Original, Rule, Taken
from runwright.domains.perturbation.state_data import (
    DATA,
    MODEL,
    UNREAD,
    is_decoded,
    predicts_variable_genes,
)

MEMBERS: Final = {"llama": ("state_sm", "llama"), "GPT2": ("pertsets", "gpt2")}
"""The key of a backbone → the model and the backbone here."""

_NOT_DECODED: Final = "no genes are decoded with these data"


def _model(_value: Any, original: Original) -> Taken:
    model, _ = MEMBERS[original.get(f"{MODEL}.transformer_backbone_key", "GPT2")]
    return Taken({}, f"dm=perturbation model={model}")


def _loss_name(original: Original) -> str:
    loss = original.get(f"{MODEL}.loss", "energy")
    return original.get(f"{MODEL}.distributional_loss", "energy") if loss == "energy" else loss


def _loss(_value: Any, original: Original) -> Taken | NoEqual:
    name = _loss_name(original)
    if name in ("energy", "sinkhorn", "mse", "se"):
        return Taken({"objective.loss": name})
    if name in ("gaussian", "laplacian"):
        why = "the width of its kernel is blur, here it follows from the data"
        return NoEqual(why, "Compare before you rely on it", {"objective.loss": name})
    return NoEqual(f"there is no loss {name} here", "Choose another objective.loss")


def _distributional_loss(_value: Any, original: Original) -> Taken | Inert:
    loss = original.get(f"{MODEL}.loss", "energy")
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

    return Rule(f"{MODEL}.{key}", decide)


def _decoder(key: str, to: str) -> Rule:
    """An option of the decoder of genes."""
    return Rule(
        f"{MODEL}.{key}",
        lambda value, o: Taken({to: value}) if is_decoded(o) else Inert(_NOT_DECODED),
    )


def _unlike_decoder(key: str, why: str, way: str, **nearest: Any) -> Rule:
    """An option of the decoder of genes that has an equal only where it is false."""

    def decide(value: Any, original: Original) -> Taken | Inert | NoEqual:
        if not is_decoded(original):
            return Inert(_NOT_DECODED)
        near = {f"model.{name}": one for name, one in nearest.items()}
        return NoEqual(why, way, near) if value else Taken({})

    return Rule(f"{MODEL}.{key}", decide)


def _gene_decoder_bool(_value: Any, original: Original) -> Taken | Inert:
    embed = original.get(f"{DATA}.embed_key")
    if embed is None or predicts_variable_genes(original):
        return Inert("the genes themselves are predicted")
    if original.get(f"{DATA}.output_space") == "embedding":
        return Inert("output_space=embedding decodes none")
    return Taken({}, "see data.kwargs.output_space")


def _freeze(value: Any, _: Original) -> Taken:
    if not value:
        return Taken({"model.freeze_pert_backbone": False})
    options = {"model.freeze_pert_backbone": True, "finetune.freeze": ["project_out"]}
    return Taken(options, "it freezes project_out as well")


def _freeze_pert(value: Any, original: Original) -> Taken | Inert:
    if original.has(f"{MODEL}.freeze_pert_backbone"):
        return Inert("freeze_pert_backbone, its newer name, is given")
    return _freeze(value, original)


def _confidence(value: Any, original: Original) -> Taken:
    if not value:
        return Taken({"model.confidence_token": False})
    weight = original.get(f"{MODEL}.confidence_weight", 0.01)
    scale = original.get(f"{MODEL}.confidence_target_scale", 10.0)
    options = {"model.confidence_token": True, "objective.confidence_weight": weight * scale**2}
    note = "the original predicts the loss times confidence_target_scale, by another head"
    return Taken(options, note)


def _of_confidence(key: str) -> Rule:
    def decide(_: Any, original: Original) -> Taken | Inert:
        if original.get(f"{MODEL}.confidence_token", False):
            return Taken({}, "in objective.confidence_weight")
        return Inert("it is read with confidence_token only")

    return Rule(f"{MODEL}.{key}", decide)


def _batch_token(value: Any, original: Original) -> Taken | Inert | NoEqual:
    if not value:
        return Taken({})
    if original.get(f"{DATA}.basal_mapping_strategy") == "random":
        return Inert("it is switched off with basal_mapping_strategy=random")
    if original.get(f"{MODEL}.batch_encoder", False):
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


MODEL_RULES: Final = [
    Rule("model.name", _model),
    Rule.inert("model.checkpoint", f"{UNREAD}; model.kwargs.init_from is what loads weights"),
    Rule.inert("model.device", "a GPU is used if there is one"),
    Rule.taken(f"{MODEL}.cell_set_len", "model.cell_set_len", absent=256),
    Rule.inert(f"{MODEL}.extra_tokens", "it lengthens a table of positions that is zero"),
    _decoder("decoder_hidden_dims", "model.decoder_hidden_dims"),
    Rule(f"{MODEL}.blur", _blur),
    Rule.taken(f"{MODEL}.hidden_dim", "model.hidden_dim"),
    Rule(f"{MODEL}.loss", _loss, absent="energy"),
    Rule(f"{MODEL}.confidence_token", _confidence),
    _of_confidence("confidence_target_scale"),
    _of_confidence("confidence_weight"),
    Rule.inert(f"{MODEL}.confidence_head", f"{UNREAD}; the key is confidence_token"),
    Rule.taken(f"{MODEL}.n_encoder_layers", "model.n_encoder_layers", absent=2),
    Rule.taken(f"{MODEL}.n_decoder_layers", "model.n_decoder_layers", absent=2),
    Rule.taken(f"{MODEL}.predict_residual", "model.predict_residual", absent=True),
    Rule.inert(f"{MODEL}.softplus", f"{UNREAD}; expression ends with a ReLU"),
    Rule(f"{MODEL}.freeze_pert_backbone", _freeze),
    Rule(f"{MODEL}.freeze_pert", _freeze_pert),
    Rule.inert(f"{MODEL}.transformer_decoder", UNREAD),
    Rule.only(
        f"{MODEL}.finetune_vci_decoder",
        False,
        why="it decodes genes with STATE's embedding model",
        way="The genes are decoded here by a network that is trained with the rest",
    ),
    _unlike_decoder(
        "residual_decoder",
        "it adds what every second layer of the decoder gets to what it gives",
        "model.decoder_hidden_dims is a decoder without that",
    ),
    Rule.taken(f"{MODEL}.batch_encoder", "model.batch_encoder"),
    Rule(f"{MODEL}.use_batch_token", _batch_token),
    Rule.inert(f"{MODEL}.batch_predictor", "what it builds is dropped before the training"),
    Rule.inert(f"{MODEL}.nb_decoder", UNREAD),
    Rule.inert(f"{MODEL}.decoder_loss_weight", "it is decoder_weight that is read"),
    _decoder("decoder_weight", "objective.decoder_loss_weight"),
    _unlike_decoder(
        "detach_decoder",
        "in a tenth of the steps it trains the decoder on real embeddings",
        "Here it always trains on those that are predicted",
        detach_decoder=True,
    ),
    Rule(f"{MODEL}.gene_decoder_bool", _gene_decoder_bool),
    Rule.taken(f"{MODEL}.use_basal_projection", "model.use_basal_projection", absent=True),
    Rule.only(
        f"{MODEL}.mask_attn",
        False,
        why="it masks nothing, but raises the attention of each cell to itself by a constant",
        way="Leave it out: every cell sees every other",
    ),
    Rule.inert(f"{MODEL}.use_effect_gating_token", UNREAD),
    Rule(f"{MODEL}.distributional_loss", _distributional_loss),
    _weight_of_se(0.01, "sinkhorn_weight"),
    _weight_of_se(1.0, "energy_weight"),
    Rule.taken(f"{MODEL}.regularization", "objective.regularization"),
    Rule(f"{MODEL}.init_from", _init_from),
    Rule.only(
        f"{MODEL}.mmd_num_chunks",
        1,
        why="it is the mean loss of several parts of the genes",
        way="The loss here is of all genes together",
    ),
    Rule.only(
        f"{MODEL}.randomize_mmd_chunks",
        False,
        why="it shuffles the parts of mmd_num_chunks",
        way="The loss here is of all genes together",
    ),
    Rule.only(
        f"{MODEL}.activation", "gelu", why="it is GELU here", way="There is no option for another"
    ),
    Rule.only(f"{MODEL}.dropout", 0.1, why="it is 0.1 here", way="There is no option for another"),
    Rule(f"{MODEL}.lora", _lora),
    Rule.inert(f"{MODEL}.llm_name", UNREAD),
    Rule.inert(f"{MODEL}.predict_mean", UNREAD),
    Rule(
        f"{MODEL}.transformer_backbone_key",
        lambda value, _: Taken({}, f"model/backbone={MEMBERS[value][1]}"),
        absent="GPT2",
    ),
]
