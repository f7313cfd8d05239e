"""Schema of the decoder of a network for label maps."""

from typing import Annotated, Literal

from pydantic import Field

from nasfuse.spec.schema.model import Model


class DecoderConfig(Model):
    """Decoder from the scales of the main stream to logits for every pixel, at the size of the label map.

    Attributes:
        width: Features after its last step, to the finest scale.
        growth: Features of a step divided by those of the step after it; 2 in ESANet.
        blocks: Residual blocks (NonBottleneck1D) of each step; 3 in ESANet.
        upsampling: `bilinear`, or `learned`: nearest neighbours and a convolution of 3 x 3 in each feature.
        context: `pyramid_pooling` of the coarsest scale, or `none`.
    """

    width: Annotated[int, Field(ge=1, le=8192)] = 32
    growth: Annotated[float, Field(ge=1, le=4)] = 1.0
    blocks: Annotated[int, Field(ge=0, le=64)] = 0
    upsampling: Literal["bilinear", "learned"] = "bilinear"
    context: Literal["none", "pyramid_pooling"] = "none"
