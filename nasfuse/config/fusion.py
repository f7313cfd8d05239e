"""Fusion operators in a recipe: one class of options per kind."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nasfuse.config.model import Model
from nasfuse.config.stream import check_heads


class FusionConfigBase(Model):
    """What all fusion operators have.

    Attributes:
        placement: Stages a stream runs before it is fused: 0 is early fusion, the depth of the deepest
            stream (or more) is late fusion. A shallower stream is fused after its last stage. The stages
            that the deepest stream has left follow on the fused state.
        width: Features of the fused state.
        dropout: Inside every joint stage.
    """

    placement: Annotated[int, Field(ge=0, le=64)] = 2
    width: Annotated[int, Field(ge=1, le=8192)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def summary(self) -> str:
        """Returns the fusion in a few words, for tables."""
        kind = getattr(self, "kind")  # noqa: B009 - on every subclass
        return f"{kind} at {self.placement}, width {self.width}"


class _VectorFusion(FusionConfigBase):
    """Fuses one vector per stream; joint stages are residual MLPs.

    Attributes:
        expansion: Width of the hidden layer of a joint stage over `width`.
    """

    expansion: Annotated[int, Field(ge=1, le=16)] = 2


class _TokenFusion(FusionConfigBase):
    """Fuses the tokens of the streams by attention; at least one joint stage.

    Attributes:
        heads: Attention heads; must divide `width`.
        mlp_ratio: Hidden width of the MLP over `width`.
    """

    heads: Annotated[int, Field(ge=1)] = 4
    mlp_ratio: Annotated[int, Field(ge=1, le=16)] = 2

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        check_heads(self.heads, self.width)
        return self


class ConcatFusion(_VectorFusion):
    """Linear layer on the concatenated features, then GELU."""

    kind: Literal["concat"]


class SumFusion(_VectorFusion):
    """Sum of the features, projected where widths differ; late, it is a sum of logits."""

    kind: Literal["sum"]


class GatedFusion(_VectorFusion):
    """Sum of the features, each scaled by its own squeeze-and-excite gate (DynMM's ESANet operator O2).

    Attributes:
        reduction: Width over the hidden width of the gate.
    """

    kind: Literal["gated"]
    reduction: Annotated[int, Field(ge=1)] = 4


class LowRankFusion(_VectorFusion):
    """Low-rank tensor product of the features: every product of one feature per modality, at `rank`.

    Attributes:
        rank: Terms of the decomposition.
    """

    kind: Literal["low_rank"]
    rank: Annotated[int, Field(ge=1, le=256)] = 4


class BottleneckFusion(_TokenFusion):
    """Streams that exchange only through shared tokens (MBT).

    Attributes:
        n_bottlenecks: Shared tokens.
    """

    kind: Literal["bottleneck"]
    n_bottlenecks: Annotated[int, Field(ge=1, le=256)] = 4


class CrossAttentionFusion(_TokenFusion):
    """Every stream attends to every other one (MulT)."""

    kind: Literal["cross_attention"]


class JointTokensFusion(_TokenFusion):
    """One transformer over the tokens of all streams (early-concatenation transformers, SFT)."""

    kind: Literal["joint_tokens"]


FusionConfig = Annotated[
    ConcatFusion
    | SumFusion
    | GatedFusion
    | LowRankFusion
    | BottleneckFusion
    | CrossAttentionFusion
    | JointTokensFusion,
    Field(discriminator="kind"),
]
