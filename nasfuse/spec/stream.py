"""Streams in a recipe: one class of options per encoder."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nasfuse.spec.schema.model import MisfitError, Model

#: Least features of an attention head where a recipe does not say how many heads there are.
LEAST_PER_HEAD = 8


def default_heads(width: int) -> int:
    """Returns the attention heads of `width` features where none are given: 4, 2 or 1, each of at least 8 features.

    Example:
        >>> [default_heads(width) for width in (4, 8, 16, 24, 32, 64)]
        [1, 1, 2, 2, 4, 4]
    """
    return next((heads for heads in (4, 2) if width % heads == 0 and width // heads >= LEAST_PER_HEAD), 1)


def heads_of_width(given: dict[str, Any]) -> int:
    """Returns `default_heads` for the fields `given` before `heads`; any number where the width is wrong itself."""
    return default_heads(given.get("width", 1))


Heads = Annotated[int, Field(ge=1, default_factory=heads_of_width)]

KeepRatio = Annotated[float, Field(ge=1e-6, le=1)]

#: Reducers with parameters, which learn for one keep ratio.
LEARNED = ("gumbel", "latent")


class PoolingConfig(Model):
    """What drops tokens after every stage of a convolutional stream.

    Attributes:
        kind: `max` or `average` pooling over neighbouring tokens.
        keep_ratio: Share of the tokens that is left after each stage; the reducer stops at one token.
            Neighbours are pooled by round(1 / keep_ratio); on a grid round(sqrt(1 / keep_ratio)) of them along each
            side, so 0.25 halves both and 0.5 neither.
    """

    kind: Literal["max", "average"] = "max"
    keep_ratio: KeepRatio = 1.0


class TokenReducerConfig(Model):
    """What drops or merges tokens between the attention and the MLP of a transformer stage.

    Attributes:
        kind: `max`, `average`, `attention`-weighted or `strided` pooling of neighbours; `top_k` keeps what CLS attends
            to and fuses the rest (EViT); `merge` merges what is alike (ToMe).
        keep_ratio: Share of the tokens that is left, of each sample's own length; at least one token. Pooling takes
            round(1 / keep_ratio) neighbours, `max` and `average` of an image round(sqrt(1 / keep_ratio)) along each
            side; the other kinds leave ceil(keep_ratio n) tokens.
        at: Number of the one stage that reduces, the last one where there are fewer; absent, every stage does.
        inference_keep_ratio: `keep_ratio` after training, where it is another.
    """

    kind: Literal["max", "average", "attention", "strided", "top_k", "merge"] = "max"
    keep_ratio: KeepRatio = 1.0
    at: Annotated[int, Field(ge=1, le=64)] | None = None
    inference_keep_ratio: KeepRatio | None = None

    @property
    def summary(self) -> str:
        """Returns the reducer in a few words, for tables; empty where it keeps everything."""
        ratio = self.inference_keep_ratio or self.keep_ratio
        return f"{self.kind} {ratio:.3g}{'' if self.at is None else f' at {self.at}'}" if ratio < 1 else ""


class StreamReducerConfig(TokenReducerConfig):
    """What drops or merges tokens in a transformer stream.

    Attributes:
        kind: As in `TokenReducerConfig`, or one that learns: `gumbel` keeps what a small network scores highest
            (DynamicViT), `latent` reads all tokens by a few learned ones (Perceiver).
        keep_ratio: As there.
        at: As there.
        inference_keep_ratio: As there; not for those that learn.
    """

    kind: Literal["max", "average", "attention", "strided", "top_k", "merge", "gumbel", "latent"] = "max"  # type: ignore[assignment]

    @model_validator(mode="after")
    def _learned_for_one_ratio(self) -> Self:
        if self.inference_keep_ratio is not None and self.kind in LEARNED:
            raise MisfitError("inference_keep_ratio", f"{self.kind} has learnt for its keep_ratio; remove it")
        return self


class StreamConfigBase(Model):
    """What all encoders have.

    Attributes:
        depth: Stages of this modality, those after the fusion counted in: with `placement` p the
            stream runs the first min(p, depth) and the fused network the rest.
        width: Features per token.
        dropout: Inside every stage.
    """

    depth: Annotated[int, Field(ge=0, le=64)] = 2
    width: Annotated[int, Field(ge=1, le=8192)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def summary(self) -> str:
        """Returns the stream in a few characters, for tables."""
        return f"{getattr(self, 'encoder')} {self.depth}x{self.width}"  # noqa: B009 - on every subclass


class MlpStream(StreamConfigBase):
    """Residual MLP on one token; sequences and images are flattened.

    Attributes:
        expansion: Width of the hidden layer of a stage over `width`.
    """

    encoder: Literal["mlp"]
    expansion: Annotated[int, Field(ge=1, le=16)] = 2


class ConvStream(StreamConfigBase):
    """Residual convolutions over an image (2-D) or a sequence (1-D).

    Attributes:
        stride: Of the stem; its kernel is stride + 2 at least 3.
        reducer: Pooling after every stage.
    """

    encoder: Literal["conv"]
    stride: Annotated[int, Field(ge=1, le=64)] = 1
    reducer: PoolingConfig = PoolingConfig(kind="max", keep_ratio=0.25)


class TransformerStream(StreamConfigBase):
    """Transformer on the steps of a sequence or the patches of an image.

    Attributes:
        heads: Attention heads; must divide `width`. Absent, 4, 2 or 1 of at least 8 features each.
        mlp_ratio: Hidden width of the MLP over `width`.
        stride: Steps per token, or side of a patch.
        window: Neighbouring tokens that attend to one another, in every second stage shifted by half a window;
            absent, all tokens do. Patches of an image are neighbours row by row.
        readout: The stream is read at the `mean` of its tokens, or at a `cls` token, which no reducer touches.
        reducer: What drops tokens between attention and MLP.
    """

    encoder: Literal["transformer"]
    heads: Heads
    mlp_ratio: Annotated[int, Field(ge=1, le=16)] = 2
    stride: Annotated[int, Field(ge=1, le=64)] = 1
    window: Annotated[int, Field(ge=2)] | None = None
    readout: Literal["mean", "cls"] = "mean"
    reducer: StreamReducerConfig = StreamReducerConfig()

    @property
    def summary(self) -> str:
        """Returns the stream in a few characters, for tables."""
        window = "" if self.window is None else f"w{self.window}"
        stride = "" if self.stride == 1 else f"/{self.stride}"
        return " ".join(part for part in (f"{super().summary}{stride}{window}", self.reducer.summary) if part)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        check_heads(self.heads, self.width)
        return self


def check_heads(heads: int, width: int) -> None:
    """Raises ValueError where `heads` does not divide `width`."""
    if width % heads:
        raise ValueError(f"heads must divide width, got heads {heads} and width {width}; change one of them")


StreamConfig = Annotated[MlpStream | ConvStream | TransformerStream, Field(discriminator="encoder")]
