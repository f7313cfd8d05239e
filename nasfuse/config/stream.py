"""Streams in a recipe: one class of options per encoder."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from nasfuse.config.model import Model


class ReducerConfig(Model):
    """What drops tokens after every stage of a stream.

    Attributes:
        kind: `max` or `average` pooling over neighbouring tokens.
        keep_ratio: Share of the tokens that is left after each stage; the reducer stops at one token.
            On a grid both sides shrink alike, so 0.25 halves each.
    """

    kind: Literal["max", "average"] = "max"
    keep_ratio: Annotated[float, Field(gt=0, le=1)] = 1.0


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
    reducer: ReducerConfig = ReducerConfig(kind="max", keep_ratio=0.25)


class TransformerStream(StreamConfigBase):
    """Transformer on the steps of a sequence or the patches of an image.

    Attributes:
        heads: Attention heads; must divide `width`.
        mlp_ratio: Hidden width of the MLP over `width`.
        stride: Steps per token, or side of a patch.
        reducer: Pooling after every stage.
    """

    encoder: Literal["transformer"]
    heads: Annotated[int, Field(ge=1)] = 4
    mlp_ratio: Annotated[int, Field(ge=1, le=16)] = 2
    stride: Annotated[int, Field(ge=1, le=64)] = 1
    reducer: ReducerConfig = ReducerConfig()

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TransformerStream":
        check_heads(self.heads, self.width)
        return self


def check_heads(heads: int, width: int) -> None:
    """Raises ValueError where `heads` does not divide `width`."""
    if width % heads:
        raise ValueError(f"heads must divide width, got heads {heads} and width {width}; change one of them")


StreamConfig = Annotated[MlpStream | ConvStream | TransformerStream, Field(discriminator="encoder")]
