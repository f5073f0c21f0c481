"""Optimisers: what the group `opt` is, learning-rate schedules, and the optimisers of torch."""

from runwright.optimizers.interface import OptimisationFactory as OptimisationFactory
from runwright.optimizers.torch_optimizer import OptimisationCfg as OptimisationCfg
