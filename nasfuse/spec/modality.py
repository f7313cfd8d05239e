"""How the modalities of a data set are made from the arrays or columns of its source."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nasfuse.domain.modality import ModalityKind, PaddingSide
from nasfuse.spec.schema.model import MisfitError, Model

#: How a column of a table becomes features. `auto` is decided from the training samples.
ColumnType = Literal["auto", "number", "category", "date"]

#: How a text is divided into tokens, each of which has an id.
Tokenizer = Literal["words", "subwords", "hashed"]

#: How the states of the tokens or patches of a frozen encoder become one vector.
Pooling = Literal["mean", "first"]

#: Entries that a vocabulary of sub-words has before the first merge: the bytes.
_N_BYTES = 256


class ModalityConfig(Model):
    """A modality whose arrays are used as they are.

    Attributes:
        kind: `vector`, `sequence` or `image`.
        array: Name of the array or column. Default: the name of the modality.
        arrays: Names of several arrays instead, whose features are concatenated: vectors (n, F) or (n,), sequences
            (n, T, F) or (n, T) of the same steps.
        index: Name of an integer array; sample i is then `array[index[i]]`.
        lengths: Name of an array with the true length of each sequence; later steps are padding. Lists of different
            lengths in a column need none.
        vocabulary: Number of distinct ids, for a sequence of integer token ids.
        padding: Side of the padding in a sequence with `lengths`: `left` is before the data, `right` after it.
            Default: detected from the data.
        outside_macs: Multiply-accumulates per sample with which the array was computed outside of the network, for
            example by a pretrained encoder. They are not part of the MACs of a network, but of its `total_macs`.
        shape: Shape of one sample, for an array that stores samples as flat rows, such as `[28, 28]` for images.
    """

    kind: ModalityKind
    array: str | None = None
    arrays: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    index: str | None = None
    lengths: str | None = None
    vocabulary: Annotated[int, Field(ge=2)] | None = None
    padding: PaddingSide | None = None
    outside_macs: Annotated[int, Field(ge=0)] | None = None
    shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.arrays is not None and self.array is not None:
            raise MisfitError("array", "is one array and arrays are several; remove one of the two")
        if self.arrays is not None and self.vocabulary is not None:
            raise MisfitError("arrays", "token ids have no features to concatenate; name one array")
        return self


class TableConfig(Model):
    """A vector made from columns of numbers, categories and dates.

    Attributes:
        kind: `table`.
        columns: Type of each column: `number`, `category`, `date`, or `auto`.
        min_count: Training samples that a category needs for a feature of its own; rarer ones share one.
        max_categories: Largest number of categories of a column with a feature of their own; the most frequent ones.
        day_first: Whether the day is before the month in dates such as 01/02/2026. Default: decided from the training
            samples.
    """

    kind: Literal["table"]
    columns: Annotated[dict[str, ColumnType], Field(min_length=1)]
    min_count: Annotated[int, Field(ge=1)] = 2
    max_categories: Annotated[int, Field(ge=1)] = 100
    day_first: bool | None = None


class TextConfig(Model):
    """A sequence of the ids of the tokens in a column of text.

    Attributes:
        kind: `text`.
        column: Name of the column. Default: the name of the modality.
        tokenizer: `words`: one id per frequent word of the training samples; `subwords`: byte-pair encoding trained on
            the training samples, in which no word is unknown; `hashed`: an id per word from a hash, without training.
        vocabulary: Largest number of tokens with an id of their own. Of `words`, the most frequent ones; if there are
            more, the others share 256 ids, assigned by a hash. Of `subwords`, the 256 bytes and the most frequent
            merges. Of `hashed`, the number of ids.
        min_count: Occurrences in the training samples that a word, or a merge, needs for an id of its own.
        length: Number of tokens after which texts are cut.
    """

    kind: Literal["text"]
    column: str | None = None
    tokenizer: Tokenizer = "words"
    vocabulary: Annotated[int, Field(ge=1)] = 5000
    min_count: Annotated[int, Field(ge=1)] = 2
    length: Annotated[int, Field(ge=1)] = 64

    @model_validator(mode="after")
    def _bytes_are_entries(self) -> Self:
        if self.tokenizer == "subwords" and self.vocabulary <= _N_BYTES:
            raise MisfitError(
                "vocabulary",
                f"must be above {_N_BYTES} for subwords, of which the {_N_BYTES} bytes are the first, got "
                f"{self.vocabulary}; raise it",
            )
        return self


class ImageFilesConfig(Model):
    """Images of one size, read from the files in a column of paths.

    Attributes:
        kind: `image_files`.
        column: Name of the column. Default: the name of the modality.
        size: Height and width in pixels to which images are resized; one number for squares.
        channels: 3 for colours, 1 for grey values, of 8 or 16 bits as in the files.
    """

    kind: Literal["image_files"]
    column: str | None = None
    size: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = 32
    channels: Literal[1, 3] = 3

    @property
    def shape(self) -> tuple[int, int]:
        """Returns (height, width)."""
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)


class AudioFilesConfig(Model):
    """Sequences of log-mel frames, computed from the recordings (WAV, FLAC, OGG) in a column of paths.

    Attributes:
        kind: `audio_files`.
        column: Name of the column. Default: the name of the modality.
        rate_hz: Sampling rate to which recordings are converted.
        n_mels: Number of mel bands.
        window_ms: Length of the window of a frame in milliseconds.
        hop_ms: Distance between frames in milliseconds.
        max_s: Length in seconds after which recordings are cut.
    """

    kind: Literal["audio_files"]
    column: str | None = None
    rate_hz: Annotated[int, Field(ge=1000)] = 16000
    n_mels: Annotated[int, Field(ge=2)] = 40
    window_ms: Annotated[float, Field(gt=0)] = 25.0
    hop_ms: Annotated[float, Field(gt=0)] = 20.0
    max_s: Annotated[float, Field(gt=0)] = 4.0


class ArrayFilesConfig(Model):
    """Arrays read from the `.npy` files in a column of paths.

    Attributes:
        kind: `array_files`.
        column: Name of the column. Default: the name of the modality.
        contents: Kind of the arrays: `vector` (F,), `sequence` (T, F) with any number of steps, or `image` (H, W),
            (H, W, C) or (C, H, W).
    """

    kind: Literal["array_files"]
    column: str | None = None
    contents: ModalityKind


class FeaturesConfig(Model):
    """A vector that a pretrained encoder in a local folder computes of the values of a column.

    Attributes:
        column: Name of the column. Default: the name of the modality.
        folder: Folder of the encoder, with weights in safetensors.
        library: Package that reads the folder.
        pooling: With `transformers`: the mean of the states of all tokens or patches, or the state of the first one.
            Default: the projection of the encoder if it has one (CLIP), else `mean`.
    """

    column: str | None = None
    folder: Annotated[str, Field(min_length=1)]
    library: str = "transformers"
    pooling: Pooling | None = None

    @model_validator(mode="after")
    def _only_states_are_pooled(self) -> Self:
        _check_pooling(self.library, self.pooling)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the encoder that are set."""
        return {name: value for name in ("pooling", "length") if (value := getattr(self, name, None)) is not None}


class TextFeaturesConfig(FeaturesConfig):
    """The vector of a text.

    Attributes:
        kind: `text_features`.
        library: Package that reads the folder.
        length: Tokens after which texts are cut. Default: as many as the encoder reads.
    """

    kind: Literal["text_features"]
    library: Literal["transformers", "sentence_transformers"] = "transformers"
    length: Annotated[int, Field(ge=1)] | None = None


class ImageFeaturesConfig(FeaturesConfig):
    """The vector of an image, in a column of paths.

    Attributes:
        kind: `image_features`.
        library: Package that reads the folder.
    """

    kind: Literal["image_features"]
    library: Literal["transformers", "timm"] = "transformers"


def _check_pooling(library: str, pooling: Pooling | None) -> None:
    if pooling is not None and library != "transformers":
        raise MisfitError("pooling", f"is part of the encoder with library: {library}; remove it")


#: Modalities that a frozen encoder computes.
FrozenConfig = TextFeaturesConfig | ImageFeaturesConfig

#: Description of a modality; `kind` selects the class.
ModalityEntry = Annotated[
    ModalityConfig
    | TableConfig
    | TextConfig
    | ImageFilesConfig
    | AudioFilesConfig
    | ArrayFilesConfig
    | TextFeaturesConfig
    | ImageFeaturesConfig,
    Field(discriminator="kind"),
]


def columns_of(name: str, entry: ModalityEntry) -> tuple[str, ...]:
    """Returns the columns or arrays from whose values a modality is made."""
    if isinstance(entry, TableConfig):
        return tuple(entry.columns)
    if isinstance(entry, ModalityConfig):
        return entry.arrays or (entry.array or name,)
    return (entry.column or name,)


def expand_modality(entry: Any) -> Any:
    """Returns an entry of `data.modalities` with its shorthands written out.

    `kind` becomes `{kind: kind}`, and a list of columns a mapping to the type `auto`.

    >>> expand_modality("image")
    {'kind': 'image'}
    >>> expand_modality({"kind": "table", "columns": ["price"]})
    {'kind': 'table', 'columns': {'price': 'auto'}}
    """
    if isinstance(entry, str):
        return {"kind": entry}
    if isinstance(entry, dict) and isinstance(entry.get("columns"), list):
        return {**entry, "columns": {str(name): "auto" for name in entry["columns"]}}
    return entry
