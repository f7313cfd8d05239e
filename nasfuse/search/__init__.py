"""Architecture search on top of Optuna: search spaces, samplers, the scheduler of a study, and its Pareto front.

The package imports torch only to fit Gaussian processes, and only when the known-cost sampler starts to use them.
"""
