"""Export of one point of a front as a recipe."""

from nasfuse.export.pick import pick

__all__ = ["pick"]
