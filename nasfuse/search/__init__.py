"""Architecture search on top of Optuna: search spaces, samplers, the scheduler of a study, and its Pareto front.

The package does not import torch.
"""
