"""The words of the field: modalities, metrics, costs, routes, operating points. No torch, no files."""
