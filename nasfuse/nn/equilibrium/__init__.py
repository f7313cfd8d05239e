"""Deep equilibrium fusion: cells, solvers, stopping rule and gradients in separate modules, and the layer."""

from nasfuse.nn.equilibrium.fixed_point_layer import (
    FixedPointLayer,
    Solved,
    equilibrium_layers,
    listening,
    saved_macs,
)
from nasfuse.nn.equilibrium.implicit import Gradient, fixed_point
from nasfuse.nn.equilibrium.jacobian import jacobian_penalty, spectral_radius
from nasfuse.nn.equilibrium.layer import EquilibriumLayer
from nasfuse.nn.equilibrium.mixing_cell import MixingCell, MixingMap
from nasfuse.nn.equilibrium.mixing_layer import MixingLayer, MixingStack
from nasfuse.nn.equilibrium.solvers import Anderson, Broyden, Picard, Solver, solve
from nasfuse.nn.equilibrium.stopping import Solution, Status, StoppingRule

__all__ = [
    "Anderson",
    "Broyden",
    "EquilibriumLayer",
    "FixedPointLayer",
    "Gradient",
    "MixingCell",
    "MixingLayer",
    "MixingMap",
    "MixingStack",
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
