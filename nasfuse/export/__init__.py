"""Export of one point of a front as a recipe."""

from nasfuse.export.neighbours import beside
from nasfuse.export.point import select_point

__all__ = ["beside", "select_point"]
