"""Schema of the streams of a recipe: one class of options per encoder."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from nasfuse.domain.readout import READOUTS, STATISTICS, parse_readout
from nasfuse.errors import nearest
from nasfuse.spec.reducer import MaxReducer, PoolingConfig, StreamReducerConfig
from nasfuse.spec.schema.model import Model

#: Smallest number of features per attention head when the number of heads is chosen by default.
LEAST_PER_HEAD = 8


def default_heads(width: int) -> int:
    """Returns the default number of attention heads for `width` features: 4, 2 or 1, each of at least 8 features.

    Example:
        >>> [default_heads(width) for width in (4, 8, 16, 24, 32, 64)]
        [1, 1, 2, 2, 4, 4]
    """
    return next((heads for heads in (4, 2) if width % heads == 0 and width // heads >= LEAST_PER_HEAD), 1)


def heads_of_width(given: dict[str, Any]) -> int:
    """Returns `default_heads` of the width in `given`, the fields before `heads`; 1 if the width is invalid."""
    return default_heads(given.get("width", 1))


Heads = Annotated[int, Field(ge=1, default_factory=heads_of_width)]


def _check_readout(text: str, known: Sequence[str]) -> str:
    names = parse_readout(text)
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is not known; {nearest(name, known)}")
        if names.count(name) > 1:
            raise ValueError(f"{text} names {name} twice; name each statistic once")
    return text


class StreamConfigBase(Model):
    """Options of every encoder.

    Attributes:
        depth: Number of stages, including those after the fusion: with `placement` p the stream runs the first
            min(p, depth) stages and the fused network the others.
        width: Features per token.
        dropout: Dropout probability inside every stage.
    """

    #: Fields that may shrink after training (`Recipe.elastic`).
    shrinkable: ClassVar[tuple[str, ...]] = ("width", "depth")

    depth: Annotated[int, Field(ge=0, le=64)] = 2
    width: Annotated[int, Field(ge=1, le=8192)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        return f"{getattr(self, 'encoder')} {self.depth}x{self.width}"  # noqa: B009 - on every subclass


class LinearStream(Model):
    """One linear map of the input, without stages.

    Where the stream is the only one, or fused `late`, its features are the outputs of the network: a linear model.
    Another fusion gets as many features as it is wide.

    Attributes:
        statistics: Whether the map reads the mean, standard deviation, minimum and maximum of every channel of a
            sequence or an image, over real steps, instead of all its values. Vectors are read as they are, token ids
            as their mean embedding.
        dropout: Dropout probability of the values that the map reads; token ids have none.
    """

    #: A linear stream has no stages.
    depth: ClassVar[int] = 0
    #: It is as wide as what reads it.
    shrinkable: ClassVar[tuple[str, ...]] = ()

    encoder: Literal["linear"]
    statistics: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        return "linear of statistics" if self.statistics else "linear"


class MlpStream(StreamConfigBase):
    """Residual MLP on one token; sequences and images are flattened.

    Attributes:
        expansion: Hidden width of a stage divided by `width`.
    """

    shrinkable: ClassVar[tuple[str, ...]] = (*StreamConfigBase.shrinkable, "expansion")

    encoder: Literal["mlp"]
    expansion: Annotated[int, Field(ge=1, le=16)] = 2


class MaxoutStream(StreamConfigBase):
    """Maxout layers with batch normalisation on a vector.

    Attributes:
        depth: Number of stages, each a maxout layer from `width` to `width` features.
        dropout: Dropout probability after every layer.
        n_pieces: Linear maps of which each feature is the largest.
        stem_width: Features of a further layer before the first one with `width`; None: there is none.
    """

    #: The statistics of its batch normalisation are those of one width.
    shrinkable: ClassVar[tuple[str, ...]] = ()

    encoder: Literal["maxout"]
    n_pieces: Annotated[int, Field(ge=2, le=16)] = 2
    stem_width: Annotated[int, Field(ge=1, le=8192)] | None = None


class ConvStream(StreamConfigBase):
    """Residual convolutions over an image (2-D) or a sequence (1-D).

    Attributes:
        stride: Stride of the stem, whose kernel size is stride + 2.
        reducer: Pooling after every stage.
        readout: Statistics of the tokens that make up the output of the stream, joined by `+`: `mean`, `max`, `std` and
            `share_above`, a smooth share of the tokens above 0.
    """

    encoder: Literal["conv"]
    stride: Annotated[int, Field(ge=1, le=64)] = 1
    reducer: PoolingConfig = PoolingConfig(kind="max", keep_ratio=0.25)
    # Left out where it is the mean, so that older recipes keep their hashes.
    readout: Annotated[
        str, AfterValidator(partial(_check_readout, known=STATISTICS)), Field(exclude_if=lambda value: value == "mean")
    ] = "mean"


class ResnetStream(StreamConfigBase):
    """Residual network on an image, whose stages are scales: every one but the first halves the sides of the map.

    Normalisation is by groups of features of a sample, so that it depends neither on the batch nor on the routes of
    other samples (published ones have batch norm).

    Attributes:
        depth: Number of scales; with a stem of stride 4, four scales have strides 4, 8, 16 and 32.
        width: Features of the first scale.
        growth: Features of a scale divided by those of the scale before.
        blocks: Residual blocks of every scale, or a list of those of each.
        block: `basic` (ResNet-18 and -34), `bottleneck` (ResNet-50; inside, a quarter of the features) or `nbt1d`
            (factored convolutions, as in ERFNet and ESANet).
        stride: Stride of the stem; 4 is a convolution and max pooling.
        stem_width: Features of the stem; None: those inside the first block.
        readout: As of a convolutional stream.
    """

    shrinkable: ClassVar[tuple[str, ...]] = (*StreamConfigBase.shrinkable, "blocks", "stem_width")

    encoder: Literal["resnet"]
    depth: Annotated[int, Field(ge=0, le=8)] = 4
    width: Annotated[int, Field(ge=1, le=8192)] = 16
    growth: Annotated[float, Field(ge=1, le=4)] = 2.0
    blocks: Annotated[int, Field(ge=1, le=64)] | tuple[Annotated[int, Field(ge=1, le=64)], ...] = 1
    block: Literal["basic", "bottleneck", "nbt1d"] = "basic"
    stride: Literal[1, 2, 4] = 4
    stem_width: Annotated[int, Field(ge=1, le=8192)] | None = None
    readout: Annotated[str, AfterValidator(partial(_check_readout, known=STATISTICS))] = "mean"

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        counts = self.blocks if isinstance(self.blocks, int) else "-".join(str(count) for count in self.blocks)
        return f"{super().summary} {self.block} x{counts}/{self.stride}"

    @model_validator(mode="after")
    def _blocks_of_each_scale(self) -> Self:
        if not isinstance(self.blocks, int) and len(self.blocks) != self.depth:
            raise ValueError(
                f"blocks has {len(self.blocks)} numbers for {self.depth} scales; give one for each, or one for all"
            )
        return self


class RandomConvStream(StreamConfigBase):
    """Random convolutions that are not trained, and a residual MLP on the shares of positions above biases.

    Attributes:
        depth: Stages of the MLP. At 0 the stream has no layer of its own, and its output are n_kernels x n_dilations x
            n_biases shares and four statistics of every channel.
        width: Features of the MLP; without effect at depth 0.
        expansion: Hidden width of a stage divided by `width`.
        n_kernels: Kernels of nine taps per dilation, drawn from the 84 of MiniRocket.
        n_dilations: Dilations from 1 to the largest that fits the input; short inputs have fewer.
        stride: Distance of neighbouring positions.
        n_biases: Biases per kernel and dilation, quantiles of its output on training data.
        feature_dropout: Dropout probability of the shares.
    """

    shrinkable: ClassVar[tuple[str, ...]] = (*StreamConfigBase.shrinkable, "expansion")

    encoder: Literal["random_conv"]
    depth: Annotated[int, Field(ge=0, le=64)] = 0
    expansion: Annotated[int, Field(ge=1, le=16)] = 2
    n_kernels: Annotated[int, Field(ge=1, le=84)] = 84
    n_dilations: Annotated[int, Field(ge=1, le=32)] = 5
    stride: Annotated[int, Field(ge=1, le=64)] = 2
    n_biases: Annotated[int, Field(ge=1, le=64)] = 3
    feature_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        size = f"{self.depth}x{self.width}" if self.depth else "0"
        return f"random_conv {size}, {self.n_kernels}x{self.n_dilations}/{self.stride}"


class TransformerStream(StreamConfigBase):
    """Transformer on the steps of a sequence or the patches of an image.

    Attributes:
        heads: Number of attention heads, a divisor of `width`. Default: 4, 2 or 1, of at least 8 features each.
        mlp_ratio: Hidden width of the MLP divided by `width`.
        mlp_width: Hidden width of the MLP, in place of `mlp_ratio`; it may be any number, as in published networks of
            40 features with 2048 hidden ones.
        stride: Steps per token of a sequence, or side length of the patches of an image.
        window: Length of the windows of tokens that attend to each other, shifted by half a window in every second
            stage; None: full attention. Patches of an image are ordered row by row.
        readout: Output of the stream, one or more joined by `+`: statistics of its tokens as in a convolutional stream,
            or a `cls` token, which reducers leave unchanged.
        reducer: Token reduction between attention and MLP.
    """

    shrinkable: ClassVar[tuple[str, ...]] = (*StreamConfigBase.shrinkable, "heads", "mlp_ratio", "mlp_width")

    encoder: Literal["transformer"]
    heads: Heads
    mlp_ratio: Annotated[int, Field(ge=1, le=16)] = 2
    mlp_width: Annotated[int, Field(ge=1, le=65536)] | None = None
    stride: Annotated[int, Field(ge=1, le=64)] = 1
    window: Annotated[int, Field(ge=2)] | None = None
    readout: Annotated[str, AfterValidator(partial(_check_readout, known=READOUTS))] = "mean"
    reducer: StreamReducerConfig = MaxReducer()

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        window = "" if self.window is None else f"w{self.window}"
        stride = "" if self.stride == 1 else f"/{self.stride}"
        return " ".join(part for part in (f"{super().summary}{stride}{window}", self.reducer.summary) if part)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        check_heads(self.heads, self.width)
        return self


def check_heads(heads: int, width: int) -> None:
    """Checks that `heads` divides `width`.

    Raises:
        ValueError: It does not.
    """
    if width % heads:
        raise ValueError(f"heads must divide width, got heads {heads} and width {width}; change one of them")


StreamConfig = Annotated[
    LinearStream | MlpStream | MaxoutStream | ConvStream | TransformerStream | RandomConvStream | ResnetStream,
    Field(discriminator="encoder"),
]
