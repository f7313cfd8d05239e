"""Export of one point of a front: its selection, its recipe and its networks."""

from nasfuse.export.neighbours import explanation
from nasfuse.export.networks import PointNetwork, networks_of, trained_point
from nasfuse.export.point import Choice, select_point

__all__ = ["Choice", "PointNetwork", "explanation", "networks_of", "select_point", "trained_point"]
