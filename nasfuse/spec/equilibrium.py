"""How a network with an equilibrium is trained, beside what every network has."""

from typing import Annotated

from pydantic import Field

from nasfuse.spec.schema.model import Model


class EquilibriumConfig(Model):
    """Keeps the fixed points of equilibrium fusion within reach of their solver.

    Attributes:
        jacobian_weight: Of the mean squared singular value of the cells' Jacobians at their fixed points, added to
            the loss (Bai et al., 2021; there it is not divided by the width).
        jacobian_frequency: Share of the training steps that it is added in.
    """

    jacobian_weight: Annotated[float, Field(ge=0)] = 1.0
    jacobian_frequency: Annotated[float, Field(gt=0, le=1)] = 0.5
