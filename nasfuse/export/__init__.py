"""Export of one point of a front as a recipe."""

from nasfuse.export.point import select_point

__all__ = ["select_point"]
