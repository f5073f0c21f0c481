"""Optimisers: what the group `opt` is, learning-rate schedules, and the optimisers of torch."""

from runwright.optimizers.optimizer_factory import OptimizerFactory as OptimizerFactory
from runwright.optimizers.torch_optimizer import TorchOptimizer as TorchOptimizer

OptimisationCfg = TorchOptimizer  # its name in the template that this library comes from
