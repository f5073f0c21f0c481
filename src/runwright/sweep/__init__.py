"""Sweeps: a Hydra sweeper on top of Optuna that prunes, resumes, and never idles."""
