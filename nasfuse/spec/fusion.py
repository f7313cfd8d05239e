"""Schema of the fusion of a recipe: one class of options per kind."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nasfuse.spec.reducer import FusionReducerConfig, MaxReducer
from nasfuse.spec.schema.model import MisfitError, Model
from nasfuse.spec.sites import ChainFusion, SitesFusion
from nasfuse.spec.stream import Heads, check_heads

#: Largest number of reversible updates whose states are reconstructed without visible rounding errors.
_MOST_REVERSIBLE_STEPS = 32


class FusionConfigBase(Model):
    """Options of every fusion operator.

    Attributes:
        placement: Number of stages of a stream before the fusion: 0 is early fusion; the depth of the deepest stream
            or more is late fusion. A shallower stream is fused after its last stage. The remaining stages of the
            deepest stream run on the fused state (joint stages).
        width: Features of the fused state.
        dropout: Dropout probability inside every joint stage.
    """

    #: Fields that may shrink after training (`Recipe.elastic`).
    shrinkable: ClassVar[tuple[str, ...]] = ("width",)

    placement: Annotated[int, Field(ge=0, le=64)] = 2
    width: Annotated[int, Field(ge=1, le=8192)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def reads_tokens(self) -> bool:
        """Returns whether the fusion reads the tokens of the streams instead of their output vectors."""
        return False

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        kind = getattr(self, "kind")  # noqa: B009 - on every subclass
        return f"{kind} at {self.placement}, width {self.width}"


class _VectorFusion(FusionConfigBase):
    """Fusion of one vector per stream; joint stages are residual MLPs.

    Attributes:
        expansion: Hidden width of a joint stage divided by `width`.
    """

    shrinkable: ClassVar[tuple[str, ...]] = (*FusionConfigBase.shrinkable, "expansion")

    expansion: Annotated[int, Field(ge=1, le=16)] = 2


class _TokenFusion(FusionConfigBase):
    """Fusion of the tokens of the streams by attention, in at least one joint stage.

    Attributes:
        heads: Number of attention heads, a divisor of `width`. Default: 4, 2 or 1, of at least 8 features each.
        mlp_ratio: Hidden width of the MLP divided by `width`.
        mlp_width: Hidden width of the MLP, in place of `mlp_ratio`.
    """

    shrinkable: ClassVar[tuple[str, ...]] = (*FusionConfigBase.shrinkable, "heads", "mlp_ratio", "mlp_width")

    heads: Heads
    mlp_ratio: Annotated[int, Field(ge=1, le=16)] = 2
    mlp_width: Annotated[int, Field(ge=1, le=65536)] | None = None

    @property
    def reads_tokens(self) -> bool:
        """Returns True."""
        return True

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        check_heads(self.heads, self.width)
        return self


class LateFusion(Model):
    """Average of the outputs of the streams, each of which runs all its stages and has a head of its own.

    The average of logits is, up to a constant per sample, that of log-probabilities.

    Attributes:
        weights: Weights of the streams in the average: `equal`, or `learned` (positive, with sum 1).
    """

    #: Streams are fused after their last stage.
    placement: ClassVar[int] = 64
    #: What is fused are the outputs of the network.
    width: ClassVar[None] = None
    #: Heads read the output vectors of the streams.
    reads_tokens: ClassVar[bool] = False
    #: It has no features of its own.
    shrinkable: ClassVar[tuple[str, ...]] = ()

    kind: Literal["late"]
    weights: Literal["equal", "learned"] = "equal"

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        return "late" if self.weights == "equal" else "late, learned weights"


class ConcatFusion(_VectorFusion):
    """Concatenation of the features, followed by a linear layer and GELU."""

    kind: Literal["concat"]


class SumFusion(_VectorFusion):
    """Sum of the features, projected where widths differ; as late fusion, the sum of logits."""

    kind: Literal["sum"]


class GatedFusion(_VectorFusion):
    """Sum of the features, each scaled by its own squeeze-and-excite gate (DynMM's ESANet operator O2).

    Attributes:
        reduction: Width divided by the hidden width of the gate.
    """

    kind: Literal["gated"]
    reduction: Annotated[int, Field(ge=1)] = 4


class LowRankFusion(_VectorFusion):
    """Low-rank tensor fusion: the products of one feature per modality, with a weight tensor of rank `rank` (LMF).

    Attributes:
        rank: Number of terms of the decomposition.
    """

    shrinkable: ClassVar[tuple[str, ...]] = (*_VectorFusion.shrinkable, "rank")

    kind: Literal["low_rank"]
    rank: Annotated[int, Field(ge=1, le=256)] = 4


class EquilibriumFusion(_VectorFusion):
    """Fixed point of a shared cell: DEQ fusion (Ni et al., 2023), or a cell over the tokens of all streams.

    Attributes:
        cell: `deq` is the cell of the paper, on vectors; `mixing` is one block over the tokens of all streams, which
            keep their tokens: convolutions along each stream, and modulation by summaries of all streams.
        tied: Whether all steps have the same weights. False is a network of `max_steps` mixing cells, which needs
            `gradient: unroll` (the control).
        level: `features` fuses one vector per stream; `tokens` fuses token by token and pools afterwards.
        coupled: Whether the modalities' blocks read the fused state; in the paper they do not.
        gate: Gate of the fusion block: `linear` as in the paper, `sigmoid` or `tanh`.
        start: Initial states: the injected `inputs`, or `zero` as in the released code. With `random`, half of the
            training samples start at Gaussian noise, and all others at the inputs.
        solver: Solver of the fixed point.
        damping: Weight of f(z) in a step of `anderson` or `picard`.
        max_steps: Maximum number of evaluations of the cell.
        tolerance: Relative residual |f(z) - z| / |f(z)| at which a sample has converged.
        gradient: `implicit` solves the linear backward system of the fixed point; `phantom` differentiates
            `gradient_steps` steps from the fixed point; `unroll` applies the cell `max_steps` times as a weight-tied
            network, without solving for a fixed point (the control); `random_steps` makes between 1 and `max_steps`
            plain steps, a random number for each training sample, and differentiates the last `gradient_steps`;
            `reversible` makes `max_steps` reversible updates in training and differentiates all of them, in memory that
            does not grow with their number.
        gradient_steps: Number of differentiated steps of `phantom` (1 is Jacobian-free backpropagation) and
            `random_steps`.
        backward_max_steps: Maximum number of products with the transposed Jacobian in a backward system of `implicit`.
        backward_tolerance: Residual |J^T g + v - g| relative to the incoming gradient |v| at which the backward system
            of a sample has converged.
        spectral_bound: Largest spectral norm of the cell's matrices; None: unbounded.
        inference_max_steps: Step limit after training, if it differs from `max_steps`.
        inference_tolerance: Tolerance after training, if it differs from `tolerance`.
    """

    #: A part of a cell need not have a fixed point.
    shrinkable: ClassVar[tuple[str, ...]] = ()

    kind: Literal["equilibrium"]
    width: Annotated[int, Field(ge=4, le=8192)] = 32
    # Left out at their defaults, so that older recipes keep their hashes.
    cell: Annotated[Literal["deq", "mixing"], Field(exclude_if=lambda value: value == "deq")] = "deq"
    tied: Annotated[bool, Field(exclude_if=lambda value: value)] = True
    level: Literal["features", "tokens"] = "features"
    coupled: bool = False
    gate: Literal["linear", "sigmoid", "tanh"] = "linear"
    start: Literal["inputs", "zero", "random"] = "inputs"
    solver: Literal["anderson", "picard", "broyden"] = "anderson"
    damping: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_steps: Annotated[int, Field(ge=1, le=1000)] = 16
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    gradient: Literal["implicit", "phantom", "unroll", "random_steps", "reversible"] = "implicit"
    gradient_steps: Annotated[int, Field(ge=1, le=100)] = 5
    backward_max_steps: Annotated[int, Field(ge=1, le=1000)] = 32
    backward_tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    spectral_bound: Annotated[float, Field(gt=0)] | None = None
    inference_max_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    inference_tolerance: Annotated[float, Field(gt=0, lt=1)] | None = None

    @property
    def reads_tokens(self) -> bool:
        """Returns whether `level` is `tokens` or the cell mixes tokens."""
        return self.level == "tokens" or self.cell == "mixing"

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        how = f"at most {self.max_steps} steps"
        if self.gradient == "unroll":
            how = f"{self.max_steps} {'tied' if self.tied else 'untied'} steps"
        cell = f"{self.gate} gate{', coupled' if self.coupled else ''}{', tokens' if self.level == 'tokens' else ''}"
        if self.cell == "mixing":
            cell = "mixing cell"
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
    def _untied_steps_are_unrolled(self) -> Self:
        if not self.tied and (self.cell != "mixing" or self.gradient != "unroll"):
            raise MisfitError(
                "tied",
                f"false needs cell: mixing and gradient: unroll, got {self.cell} and {self.gradient}; change them or "
                "remove it",
            )
        return self

    @model_validator(mode="after")
    def _few_steps_are_reversible(self) -> Self:
        if self.gradient == "reversible" and self.max_steps > _MOST_REVERSIBLE_STEPS:
            raise MisfitError(
                "max_steps",
                f"gradient: reversible reconstructs at most {_MOST_REVERSIBLE_STEPS} steps exactly, got "
                f"{self.max_steps}; lower it, or take gradient: implicit",
            )
        return self

    @model_validator(mode="after")
    def _no_deeper_than_trained(self) -> Self:
        if self.gradient == "random_steps":
            return self  # is trained at all depths, and may converge later on larger inputs
        if self.inference_max_steps is not None and self.inference_max_steps > self.max_steps:
            raise MisfitError(
                "inference_max_steps", f"{self.inference_max_steps} is above max_steps {self.max_steps}; lower it"
            )
        return self


class BottleneckFusion(_TokenFusion):
    """Streams that exchange information only through shared tokens (MBT).

    Attributes:
        n_bottlenecks: Number of shared tokens.
    """

    shrinkable: ClassVar[tuple[str, ...]] = (*_TokenFusion.shrinkable, "n_bottlenecks")

    kind: Literal["bottleneck"]
    n_bottlenecks: Annotated[int, Field(ge=1, le=256)] = 4


class CrossAttentionFusion(_TokenFusion):
    """Every stream attends to every other one (MulT)."""

    kind: Literal["cross_attention"]


class JointTokensFusion(_TokenFusion):
    """One transformer over the tokens of all streams (early-concatenation transformers, SFT).

    Attributes:
        reducer: Reduction of each stream's tokens between attention and MLP of a joint stage; its `at` counts joint
            stages.
    """

    kind: Literal["joint_tokens"]
    reducer: FusionReducerConfig = MaxReducer()

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        return ", ".join(part for part in (super().summary, self.reducer.summary) if part)


FusionConfig = Annotated[
    LateFusion
    | ConcatFusion
    | SumFusion
    | GatedFusion
    | LowRankFusion
    | EquilibriumFusion
    | BottleneckFusion
    | CrossAttentionFusion
    | JointTokensFusion
    | SitesFusion
    | ChainFusion,
    Field(discriminator="kind"),
]
