"""Fixed points: solvers, stopping and gradients, each apart from the others (deep equilibrium fusion)."""

from nasfuse.nn.equilibrium.implicit import Gradient, fixed_point
from nasfuse.nn.equilibrium.solvers import Anderson, Broyden, Picard, solve
from nasfuse.nn.equilibrium.stopping import Solution, Status, StoppingRule

__all__ = ["Anderson", "Broyden", "Gradient", "Picard", "Solution", "Status", "StoppingRule", "fixed_point", "solve"]
