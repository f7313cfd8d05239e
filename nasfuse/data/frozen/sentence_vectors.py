"""Texts as the vectors of a model of the package sentence-transformers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from nasfuse.data.extras import required
from nasfuse.data.frozen.base import Encoded, FrozenEncoder
from nasfuse.data.frozen.model_folder import check_model
from nasfuse.data.frozen.pretrained import SAFELY, check_tokenizer, device_of_encoders, refused
from nasfuse.errors import DataError

_MODULES = "modules.json"


class SentenceVectors(FrozenEncoder):
    """Model of sentence-transformers, with its own pooling and normalisation.

    Args:
        model: The model.
        length: Tokens after which texts are cut; None: the limit of the model.
    """

    package: ClassVar[str] = "sentence_transformers"

    def __init__(self, model: Any, *, length: int | None) -> None:
        self._model = model
        if length is not None:
            model.max_seq_length = min(length, model.max_seq_length or length)

    @classmethod
    def load(cls, folder: Path, options: Mapping[str, Any]) -> Self:
        """Returns the encoder in a folder; see `FrozenEncoder.load`."""
        purpose = "text_features with library: sentence_transformers"
        package = required(cls.package, extra=cls.extra, purpose=purpose)
        check_model(folder, where=purpose, kind="model of sentence-transformers", description=_MODULES)
        _check_modules(folder)
        model = refused(
            lambda: package.SentenceTransformer(
                str(folder), device=str(device_of_encoders()), model_kwargs={"use_safetensors": True}, **SAFELY
            ),
            folder,
            cls.package,
        )
        check_tokenizer(model.tokenizer, folder)
        return cls(model.eval().float(), length=options.get("length"))

    def encode(self, values: Sequence[Any]) -> Encoded:
        """Returns the features of a batch of texts."""
        texts = list(values)
        features = self._model.encode(texts, batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True)
        mask = self._model.tokenize(texts).get("attention_mask")
        n_tokens = np.zeros(len(texts), np.int64) if mask is None else mask.sum(dim=1).numpy()
        return Encoded(np.asarray(features, np.float32), n_tokens)


def _check_modules(folder: Path) -> None:
    """Checks that all modules are part of the package, because others would be code that the folder contains.

    Raises:
        DataError: One is not.
    """
    try:
        types = [module["type"] for module in json.loads((folder / _MODULES).read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / _MODULES} lists no modules; name the folder of another encoder") from error
    foreign = next((one for one in types if not str(one).startswith("sentence_transformers.")), None)
    if foreign is not None:
        raise DataError(
            f"the frozen encoder in {folder} needs code of its own ({foreign}), which is never run; name another one"
        )
