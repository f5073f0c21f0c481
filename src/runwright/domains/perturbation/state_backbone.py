"""What becomes of STATE's settings of the backbones, with what the originals take without them."""

from typing import Any, Final

from runwright import Inert, NoEqual, Original, Rule, Taken
from runwright.domains.perturbation.state_data import MODEL

BACKBONE: Final = f"{MODEL}.transformer_backbone_kwargs"

_NO_TOKENS: Final = "the backbone gets cells, not words"


def _length(value: Any, original: Original) -> Taken | Inert | NoEqual:
    """`n_positions`, or else `max_position_embeddings`: the size of the sets that are cut."""
    if value == original.get(f"{MODEL}.cell_set_len", 256):
        return Taken({}, "dm.cell_set_len follows model.cell_set_len")
    why = "it cuts sets of this size, and gives the model sets of cell_set_len cells"
    return NoEqual(why, "Sets have model.cell_set_len cells")


def _second_length(value: Any, original: Original) -> Taken | Inert | NoEqual:
    if original.has(f"{BACKBONE}.n_positions"):
        return Inert("n_positions decides")
    return _length(value, original)


def _width(value: Any, original: Original) -> Taken | NoEqual:
    if value == original.get(f"{MODEL}.hidden_dim"):
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
    return Rule.taken(f"{BACKBONE}.{name}", f"model.backbone.{name}", absent=absent)


LLAMA_RULES: Final = [
    Rule(f"{BACKBONE}.bidirectional_attention", _both_ways, absent=None),
    Rule(f"{BACKBONE}.n_positions", _length),
    Rule(f"{BACKBONE}.max_position_embeddings", _second_length),
    Rule(f"{BACKBONE}.hidden_size", _width),
    _of_backbone("intermediate_size", 11008),
    _of_backbone("num_hidden_layers", 32),
    _of_backbone("num_attention_heads", 32),
    Rule(
        f"{BACKBONE}.num_key_value_heads",
        lambda value, original: Taken(
            {
                "model.backbone.num_key_value_heads": value
                or original.get(f"{BACKBONE}.num_attention_heads", 32)
            }
        ),
        absent=None,
    ),
    _of_backbone("head_dim", None),
    Rule.inert(f"{BACKBONE}.use_cache", "no sequence is generated"),
    _of_backbone("attention_dropout", 0.0),
    Rule.inert(f"{BACKBONE}.hidden_dropout", "LLaMA's blocks do not read it"),
    Rule.inert(f"{BACKBONE}.layer_norm_eps", "LLaMA's blocks read rms_norm_eps"),
    Rule.taken(f"{BACKBONE}.rms_norm_eps", "model.backbone.layer_norm_eps", absent=1e-6),
    *(
        Rule.inert(f"{BACKBONE}.{name}", _NO_TOKENS)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings")
    ),
    Rule.inert(f"{BACKBONE}.rotary_dim", "LLaMA's blocks do not read it"),
    Rule.inert(f"{BACKBONE}.use_rotary_embeddings", "rotary positions are off without it"),
]

GPT2_RULES: Final = [
    Rule(f"{BACKBONE}.n_positions", _length),
    Rule(f"{BACKBONE}.max_position_embeddings", _second_length),
    Rule(f"{BACKBONE}.hidden_size", _width),
    Rule(f"{BACKBONE}.n_embd", _width),
    _of_backbone("n_layer", 12),
    _of_backbone("n_head", 12),
    # Other names of the two, which count where both are given.
    Rule.taken(f"{BACKBONE}.num_hidden_layers", "model.backbone.n_layer"),
    Rule.taken(f"{BACKBONE}.num_attention_heads", "model.backbone.n_head"),
    _of_backbone("resid_pdrop", 0.1),
    _of_backbone("embd_pdrop", 0.1),
    _of_backbone("attn_pdrop", 0.1),
    Rule.inert(f"{BACKBONE}.use_cache", "no sequence is generated"),
]
