"""Schema of the training options of networks with equilibrium fusion."""

from typing import Annotated

from pydantic import Field

from nasfuse.spec.schema.model import Model


class EquilibriumConfig(Model):
    """Jacobian regularisation, which keeps the fixed points of equilibrium fusion solvable.

    Attributes:
        jacobian_weight: Weight of the Jacobian term in the loss: the mean squared singular value of the cells'
            Jacobians at their fixed points (Bai et al., 2021, without the division by the width).
        jacobian_frequency: Share of the training steps that include the Jacobian term.
    """

    jacobian_weight: Annotated[float, Field(ge=0)] = 1.0
    jacobian_frequency: Annotated[float, Field(gt=0, le=1)] = 0.5
