"""Routed networks: the router, its gate and the network that runs one route per sample."""
