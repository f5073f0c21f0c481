"""Optimisers: what the group `opt` is, learning-rate schedules, and the optimisers of torch."""

from runwright.optimisation.optimizer import OptimisationFactory as OptimisationFactory
from runwright.optimisation.torch_optimisers import OptimisationCfg as OptimisationCfg
