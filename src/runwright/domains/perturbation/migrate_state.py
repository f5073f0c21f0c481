"""Moving here from STATE: what becomes of each setting of `state tx train`.

What a setting does in the original was read and tried in arc-state 0.11.1 with cell-load 0.10.4.
Imports nothing heavy.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from typing_extensions import override

from runwright import Migration, Original, Rule, UserError, command
from runwright.domains.perturbation.state_backbone import GPT2_RULES, LLAMA_RULES
from runwright.domains.perturbation.state_baselines import BASELINE_RULES, ONE_PASS, baseline_of
from runwright.domains.perturbation.state_data import DATA, DATA_RULES, MODEL
from runwright.domains.perturbation.state_model import MEMBERS, MODEL_RULES
from runwright.domains.perturbation.state_training import MAIN_RULES, TRAINING_RULES

_MODELS: Final = ("pertsets", "state", "neuralot")


@command("migrate state")
class MigrateState(Migration):
    """Write the experiment file that equals a configuration of STATE's `state tx train`.

    It is what the original does, not what its keys are called: a setting that nothing reads there
    is left out here, and said to be.
    """

    program: ClassVar[str] = "STATE"

    @override
    def choices(self, original: Original) -> Mapping[str, str]:
        """Choose the data and the model: a baseline by its name, STATE's own by its backbone.

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
        baseline = baseline_of(original)
        if baseline is None and name.lower() not in _MODELS:
            raise UserError(
                f"model.name={name}: only STATE's own model is migrated, called PertSets or state, "
                "and the baselines perturb_mean and context_mean. Which models there are here is "
                "listed by `python main.py dm=perturbation --help`."
            )
        if original.get(f"{DATA}.toml_config_path") is None:
            raise UserError(
                "data.kwargs.toml_config_path is not given, and STATE does not train without it. "
                "Add it as an override, data.kwargs.toml_config_path=FILE.toml."
            )
        if baseline is not None:
            return {"dm": "perturbation", "model": baseline}
        key = original.get(f"{MODEL}.transformer_backbone_key", "GPT2")
        if key not in MEMBERS:
            raise UserError(
                f"model.kwargs.transformer_backbone_key={key} is no backbone of STATE's. "
                f"Allowed: {', '.join(MEMBERS)}."
            )
        model, backbone = MEMBERS[key]
        return {"dm": "perturbation", "model": model, "model/backbone": backbone}

    @override
    def constants(self, original: Original) -> Mapping[str, tuple[Any, str]]:
        if baseline_of(original) is not None:
            return {"training.epochs": (1, ONE_PASS)}
        return {
            "opt.optimizer_cls": ("torch.optim.Adam", "there is no other optimiser"),
            "opt.weight_decay": (0.0, "Adam gets nothing but the learning rate"),
            "opt.schedule": ("constant", "the learning rate does not change"),
            "training.float32_precision": ("medium", "it rounds the factors of fp32 products"),
        }

    @override
    def rules(self, original: Original) -> Sequence[Rule]:
        if baseline_of(original) is not None:
            return BASELINE_RULES
        key = original.get(f"{MODEL}.transformer_backbone_key", "GPT2")
        backbone = LLAMA_RULES if key == "llama" else GPT2_RULES
        known = {rule.key for rule in backbone}
        other = [
            Rule.inert(rule.key, f"it is of the other backbone, not of {key}")
            for rule in (*LLAMA_RULES, *GPT2_RULES)
            if rule.key not in known
        ]
        return [*DATA_RULES, *MODEL_RULES, *backbone, *other, *TRAINING_RULES, *MAIN_RULES]
