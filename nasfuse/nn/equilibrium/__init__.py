"""Deep equilibrium fusion: cells, solvers, stopping rule and gradients in separate modules, and the layer."""

from nasfuse.nn.equilibrium.implicit import Gradient, fixed_point
from nasfuse.nn.equilibrium.jacobian import jacobian_penalty, spectral_radius
from nasfuse.nn.equilibrium.layer import EquilibriumLayer, Solved, equilibrium_layers, listening, saved_macs
from nasfuse.nn.equilibrium.solvers import Anderson, Broyden, Picard, Solver, solve
from nasfuse.nn.equilibrium.stopping import Solution, Status, StoppingRule

__all__ = [
    "Anderson",
    "Broyden",
    "EquilibriumLayer",
    "Gradient",
    "Picard",
    "Solution",
    "Solved",
    "Solver",
    "Status",
    "StoppingRule",
    "equilibrium_layers",
    "fixed_point",
    "jacobian_penalty",
    "listening",
    "saved_macs",
    "solve",
    "spectral_radius",
]
