"""From the configuration of another program to an experiment."""
