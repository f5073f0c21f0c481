"""Slurm, and several processes that train one model."""
