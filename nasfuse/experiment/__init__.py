"""Experiments: joins data, training, cost, search and backends; holds the driver of a search."""
