"""Schema of the token reducers of a recipe: one class of options per kind."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from nasfuse.spec.schema.model import MisfitError, Model

#: Kind of a reducer that names none.
DEFAULT_KIND = "max"

KeepRatio = Annotated[float, Field(ge=1e-6, le=1)]


class PoolingConfig(Model):
    """Pooling after every stage of a convolutional stream.

    Attributes:
        kind: `max` or `average` pooling of neighbouring tokens.
        keep_ratio: Share of the tokens kept by each stage, at least one token. Pooling windows have
            round(1 / keep_ratio) tokens, on a grid round(sqrt(1 / keep_ratio)) along each side: 0.25 halves both sides,
            0.5 neither.
    """

    kind: Literal["max", "average"] = "max"
    keep_ratio: KeepRatio = 1.0


class ReducerConfigBase(Model):
    """Options of every token reduction between the attention and the MLP of a transformer stage.

    Attributes:
        kind: Name of the kind.
        keep_ratio: Share of each sample's own tokens that is kept, at least one token. Pooling windows have
            round(1 / keep_ratio) tokens, those of `max` and `average` on an image round(sqrt(1 / keep_ratio)) along
            each side; the other kinds keep ceil(keep_ratio n) of n tokens.
        at: Number of the only stage that reduces, counted from 1; the last stage if there are fewer. None: every stage.
        inference_keep_ratio: Keep ratio after training, if it differs from `keep_ratio`; not available for kinds with
            parameters.
    """

    kind: str
    keep_ratio: KeepRatio = 1.0
    at: Annotated[int, Field(ge=1, le=64)] | None = None
    inference_keep_ratio: KeepRatio | None = None

    @property
    def summary(self) -> str:
        """Returns a short description for tables; empty if all tokens are kept."""
        ratio = self.inference_keep_ratio or self.keep_ratio
        return f"{self.kind} {ratio:.3g}{'' if self.at is None else f' at {self.at}'}" if ratio < 1 else ""


class MaxReducer(ReducerConfigBase):
    """Largest value of each window of neighbouring tokens."""

    kind: Literal["max"] = "max"


class AverageReducer(ReducerConfigBase):
    """Mean of each window of neighbouring tokens."""

    kind: Literal["average"] = "average"


class AttentionReducer(ReducerConfigBase):
    """Mean of each window of neighbouring tokens, weighted by the attention of CLS."""

    kind: Literal["attention"] = "attention"


class StridedReducer(ReducerConfigBase):
    """First token of each window of neighbouring tokens."""

    kind: Literal["strided"] = "strided"


class TopKReducer(ReducerConfigBase):
    """The tokens that CLS attends to most, and one token for the others (EViT)."""

    kind: Literal["top_k"] = "top_k"


class MergeReducer(ReducerConfigBase):
    """Means of similar tokens (ToMe)."""

    kind: Literal["merge"] = "merge"


class LearnedReducer(ReducerConfigBase):
    """Options of kinds with parameters, which are trained for a single keep ratio."""

    @model_validator(mode="after")
    def _for_one_ratio(self) -> Self:
        if self.inference_keep_ratio is not None:
            raise MisfitError("inference_keep_ratio", f"{self.kind} is trained for a single keep_ratio; remove it")
        return self


class GumbelReducer(LearnedReducer):
    """The tokens with the highest score of a small network, and one token for the others (DynamicViT)."""

    kind: Literal["gumbel"] = "gumbel"


class LatentReducer(LearnedReducer):
    """A few learned queries that attend to the tokens and replace them (Perceiver)."""

    kind: Literal["latent"] = "latent"


def _with_kind(values: Any) -> Any:
    return {"kind": DEFAULT_KIND, **values} if isinstance(values, dict) else values


_Untrained = MaxReducer | AverageReducer | AttentionReducer | StridedReducer | TopKReducer | MergeReducer

#: Reducers of the joint stages of a fusion.
FusionReducerConfig = Annotated[_Untrained, Field(discriminator="kind"), BeforeValidator(_with_kind)]

#: Reducers of a transformer stream.
StreamReducerConfig = Annotated[
    _Untrained | GumbelReducer | LatentReducer, Field(discriminator="kind"), BeforeValidator(_with_kind)
]
