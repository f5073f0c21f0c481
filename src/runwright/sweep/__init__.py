"""Sweeps: a Hydra sweeper on top of Optuna that prunes, resumes, and waits for nobody."""
