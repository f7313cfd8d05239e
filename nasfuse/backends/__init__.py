"""Backends run trials: on Ray, locally or on a cluster."""
