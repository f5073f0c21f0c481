"""A training step that is captured once, as a CUDA graph, and replayed from then on.

A small network's step is hundreds of kernels of a few microseconds, each launched by Python: the
GPU waits for most of the time. A graph is launched as a whole. What it does was fixed when it was
captured, so whatever a step takes from Python is either written into a tensor before each replay
(the batch, the learning rates) or found out, and then the steps are not captured.
"""
