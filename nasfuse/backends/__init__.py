"""Backends run the trials of a driver: Ray Tune, on this machine or a cluster, and a simulated clock."""
