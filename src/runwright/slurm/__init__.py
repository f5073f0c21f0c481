"""Jobs on a cluster: `hydra/launcher=runwright_slurm`."""
