"""Costs of a network: MACs (in closed form and counted), parameters, activation memory and latency."""

from nasfuse.cost.check import MacsCheck, check_macs
from nasfuse.cost.counter import count_network, count_operators
from nasfuse.cost.latency import Latency, measure_latency
from nasfuse.cost.measurer import measure_cost, measure_costs
from nasfuse.cost.memory import activation_bytes, saved_bytes
from nasfuse.cost.network_macs import count_parameters, expected_macs

__all__ = [
    "Latency",
    "MacsCheck",
    "activation_bytes",
    "check_macs",
    "count_network",
    "count_operators",
    "count_parameters",
    "expected_macs",
    "measure_cost",
    "measure_costs",
    "measure_latency",
    "saved_bytes",
]
