"""Fusion operators in a recipe: one class of options per kind."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nasfuse.spec.schema.model import MisfitError, Model
from nasfuse.spec.stream import Heads, TokenReducerConfig, check_heads


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
        heads: Attention heads; must divide `width`. Absent, 4, 2 or 1 of at least 8 features each.
        mlp_ratio: Hidden width of the MLP over `width`.
    """

    heads: Heads
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


class EquilibriumFusion(_VectorFusion):
    """The fixed point of a shared cell: DEQ fusion (Ni et al., 2023).

    Attributes:
        level: `features` fuses one vector per stream; `tokens` fuses token by token, before they are pooled.
        coupled: Whether the modalities' blocks read the fused state; in the paper they do not.
        gate: Of the fusion block; `linear` as in the paper, or squashed by `sigmoid` or `tanh`.
        start: First states: the injected `inputs`, or `zero` as in the released code.
        solver: Solver of the fixed point.
        damping: Share of f(z) in a step of `anderson` or `picard`.
        max_steps: Evaluations of a cell at most.
        tolerance: Relative residual |f(z) - z| / |f(z)| at which a sample is done.
        gradient: `implicit` solves the backward system of the fixed point. `phantom` differentiates `gradient_steps`
            steps from the fixed point. `unroll` is no fixed point: the same cell as a weight-tied network of
            `max_steps` plain steps, the control.
        gradient_steps: Steps of `phantom`; 1 is Jacobian-free backpropagation.
        backward_max_steps: Products with the transposed Jacobian at most in one backward system of `implicit`.
        backward_tolerance: Residual |J^T g + v - g| of that system, over the incoming gradient |v|, at which a sample
            is done.
        spectral_bound: Largest spectral norm of the cell's matrices; absent, they are free.
        inference_max_steps: `max_steps` after training, where it is another.
        inference_tolerance: `tolerance` after training, where it is another.
    """

    kind: Literal["equilibrium"]
    width: Annotated[int, Field(ge=4, le=8192)] = 32
    level: Literal["features", "tokens"] = "features"
    coupled: bool = False
    gate: Literal["linear", "sigmoid", "tanh"] = "linear"
    start: Literal["inputs", "zero"] = "inputs"
    solver: Literal["anderson", "picard", "broyden"] = "anderson"
    damping: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_steps: Annotated[int, Field(ge=1, le=1000)] = 16
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    gradient: Literal["implicit", "phantom", "unroll"] = "implicit"
    gradient_steps: Annotated[int, Field(ge=1, le=100)] = 5
    backward_max_steps: Annotated[int, Field(ge=1, le=1000)] = 32
    backward_tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    spectral_bound: Annotated[float, Field(gt=0)] | None = None
    inference_max_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    inference_tolerance: Annotated[float, Field(gt=0, lt=1)] | None = None

    @property
    def summary(self) -> str:
        """Returns the fusion in a few words, for tables."""
        how = f"{self.max_steps} tied steps" if self.gradient == "unroll" else f"at most {self.max_steps} steps"
        cell = f"{self.gate} gate{', coupled' if self.coupled else ''}{', tokens' if self.level == 'tokens' else ''}"
        later = {"steps": self.inference_max_steps, "tolerance": self.inference_tolerance}
        changed = ", ".join(f"{name} {value:g}" for name, value in later.items() if value is not None)
        return f"{super().summary}, {cell}, {how}{f' ({changed} after training)' if changed else ''}"

    @model_validator(mode="after")
    def _a_tied_network_has_one_depth(self) -> Self:
        for name in ("inference_max_steps", "inference_tolerance"):
            if self.gradient == "unroll" and getattr(self, name) is not None:
                raise MisfitError(name, "gradient: unroll always takes max_steps steps; remove it")
        return self

    @model_validator(mode="after")
    def _no_deeper_than_trained(self) -> Self:
        if self.inference_max_steps is not None and self.inference_max_steps > self.max_steps:
            raise MisfitError(
                "inference_max_steps", f"{self.inference_max_steps} is above max_steps {self.max_steps}; lower it"
            )
        return self


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
    """One transformer over the tokens of all streams (early-concatenation transformers, SFT).

    Attributes:
        reducer: What drops each stream's tokens between attention and MLP of a joint stage; `at` counts these.
    """

    kind: Literal["joint_tokens"]
    reducer: TokenReducerConfig = TokenReducerConfig()

    @property
    def summary(self) -> str:
        """Returns the fusion in a few words, for tables."""
        return ", ".join(part for part in (super().summary, self.reducer.summary) if part)


FusionConfig = Annotated[
    ConcatFusion
    | SumFusion
    | GatedFusion
    | LowRankFusion
    | EquilibriumFusion
    | BottleneckFusion
    | CrossAttentionFusion
    | JointTokensFusion,
    Field(discriminator="kind"),
]
