"""What can be chosen for perturbed cells. Importing it loads neither torch nor an extra."""

from runwright.domains.perturbation.baseline_models import (
    ContextMeanFactory,
    PertRidgeFactory,
    PerturbMeanFactory,
)
from runwright.domains.perturbation.compare import Compare
from runwright.domains.perturbation.data_module import PerturbationDataModule
from runwright.domains.perturbation.gpt2 import GPT2Backbone
from runwright.domains.perturbation.infer import Infer
from runwright.domains.perturbation.llama import LlamaBackbone
from runwright.domains.perturbation.pertsets import PertSetsFactory, StateSmallFactory
from runwright.domains.perturbation.set_prediction import SetPredictionFactory

__all__ = [
    "Compare",
    "ContextMeanFactory",
    "GPT2Backbone",
    "Infer",
    "LlamaBackbone",
    "PertRidgeFactory",
    "PertSetsFactory",
    "PerturbMeanFactory",
    "PerturbationDataModule",
    "SetPredictionFactory",
    "StateSmallFactory",
]
