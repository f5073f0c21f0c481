"""What becomes of the settings of STATE's baselines, which are means and read hardly any."""

from typing import Any, Final

from runwright import Inert, NoEqual, Original, Rule, Taken
from runwright.domains.perturbation.state_backbone import BACKBONE, GPT2_RULES, LLAMA_RULES
from runwright.domains.perturbation.state_data import DATA, DATA_RULES, MODEL
from runwright.domains.perturbation.state_model import MODEL_RULES
from runwright.domains.perturbation.state_training import MAIN_RULES, TRAINING_RULES

BASELINES: Final = {
    "perturb_mean": "perturb_mean",
    "globalsimplesum": "perturb_mean",
    "context_mean": "context_mean",
    "celltypemean": "context_mean",
}
"""The name of a baseline, in small letters → the model here."""

ONE_PASS: Final = "its means are those of one pass over the cells"

_DIFFERENCES: Final = {
    "perturb_mean": "a perturbation without training has the mean effect here, none there",
    "context_mean": "every perturbation counts the same here, every cell there; a cell type "
    "without training stops the original",
}
_NO_OPTION: Final = "a mean has no such option"


def baseline_of(original: Original) -> str | None:
    """The model here that a baseline of STATE's is; None if it is no baseline."""
    return BASELINES.get(str(original.get("model.name")).lower())


def _model(_value: Any, original: Original) -> Taken:
    name = baseline_of(original)
    assert name is not None, "these rules are for baselines"
    return Taken({}, f"dm=perturbation model={name}; {_DIFFERENCES[name]}")


def _predicts_genes(original: Original) -> bool:
    return original.get(f"{DATA}.embed_key") in (None, "X_hvg") or (
        original.get(f"{DATA}.output_space") != "embedding"
    )


def _embed_key(value: Any, original: Original) -> Taken:
    if value is not None and _predicts_genes(original):
        return Taken({"dm.embed_key": None}, "a baseline predicts the genes themselves")
    return Taken({"dm.embed_key": value})


def _output_space(value: Any, original: Original) -> Taken:
    embed_key = original.get(f"{DATA}.embed_key")
    if embed_key is None and value != "all":
        return Taken({"dm.output_space": "all"}, "without an embedding it predicts all genes")
    if embed_key == "X_hvg" and value != "all":
        return Taken({"dm.output_space": "gene"})
    return Taken({"dm.output_space": value})


def _max_steps(_value: Any, _: Original) -> Taken:
    return Taken({}, f"in training.epochs: {ONE_PASS}")


def _loss(value: Any, _: Original) -> Taken | NoEqual:
    if value == "mse":
        return Taken({"objective.loss": "mse"}, "it is what is measured")
    return NoEqual("the original knows no other loss than mse", "Choose an objective.loss")


def _length(name: str) -> Rule:
    def decide(value: Any, original: Original) -> Taken | Inert:
        if name != "n_positions" and original.has(f"{BACKBONE}.n_positions"):
            return Inert("n_positions decides")
        return Taken({"dm.cell_set_len": value}, "the only setting of the backbone that is read")

    return Rule(f"{BACKBONE}.{name}", decide)


def _baseline_rules() -> list[Rule]:
    own = [
        Rule("model.name", _model),
        Rule(f"{DATA}.embed_key", _embed_key),
        Rule(f"{DATA}.output_space", _output_space),
        _length("n_positions"),
        _length("max_position_embeddings"),
        Rule.only(
            f"{MODEL}.init_from",
            None,
            why="it starts from the means of another run",
            way="Means are fitted anew here; stage=test checkpoint.load=RUN applies those of a run",
        ),
        Rule("training.max_steps", _max_steps),
        Rule("training.loss_fn", _loss, absent="mse"),
        *(
            Rule.inert(f"training.{name}", "a mean is not optimised")
            for name in (
                "lr",
                "weight_decay",
                "gradient_clip_val",
                "gradient_accumulation_steps",
            )
        ),
        *(Rule.inert(f"training.{name}", ONE_PASS) for name in ("val_freq", "ckpt_every_n_steps")),
        *(
            Rule.inert(key, _NO_OPTION)
            for key in (f"{MODEL}.cell_sentence_len", f"{BACKBONE}.d_inner")
        ),
    ]
    known = {rule.key for rule in own}
    of_networks = {
        rule.key: Rule.inert(rule.key, _NO_OPTION)
        for rule in (*MODEL_RULES, *LLAMA_RULES, *GPT2_RULES)
    }
    others = [*DATA_RULES, *of_networks.values(), *TRAINING_RULES, *MAIN_RULES]
    return [*own, *(rule for rule in others if rule.key not in known)]


BASELINE_RULES: Final = _baseline_rules()
