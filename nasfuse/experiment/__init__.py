"""Experiments: the one place that joins data, training, cost and search, and that starts Ray Tune."""
