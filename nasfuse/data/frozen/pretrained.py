"""Loading of models with the package transformers: from a local folder, without network and foreign code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nasfuse.data.extras import required
from nasfuse.data.frozen.model_folder import check_model
from nasfuse.errors import DataError

#: Arguments of everything that is read from a folder.
SAFELY: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def device_of_encoders() -> torch.device:
    """Returns the device that computes features: a GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_part(part: str, folder: Path, *, purpose: str, **options: Any) -> Any:
    """Returns what the class `part` of transformers reads from a folder, for example `AutoTokenizer`.

    Raises:
        MissingPackageError: The package is not installed.
        DataError: The folder has no such part.
    """
    package = required("transformers", extra="frozen", purpose=purpose)
    return refused(
        lambda: getattr(package, part).from_pretrained(str(folder), **SAFELY, **options), folder, "transformers"
    )


def load_pretrained(folder: Path, *, purpose: str) -> Any:
    """Returns the model in a folder, in evaluation mode and single precision.

    Of an encoder with a decoder, the encoder is returned.

    Raises:
        MissingPackageError: The package is not installed.
        DataError: The folder has no model, or lacks weights, so that a part of the model would be random.
    """
    check_model(folder, where=purpose, kind="model of transformers")
    model, report = load_part(
        "AutoModel", folder, purpose=purpose, use_safetensors=True, output_loading_info=True, dtype=torch.float32
    )
    absent = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if absent:
        raise DataError(
            f"{purpose}: {folder} lacks {len(absent)} weights of {type(model).__name__}, such as {absent[0]}, which "
            "would be random; name the folder of a complete encoder"
        )
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    return model.eval().to(device_of_encoders())


def check_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Checks that a tokenizer of transformers has a vocabulary; without its files, it is made with none.

    Raises:
        DataError: All of its tokens are special ones.
    """
    special = getattr(tokenizer, "all_special_tokens", None)
    if special is not None and len(tokenizer) <= len(special):
        raise DataError(
            f"the frozen encoder in {folder} has no vocabulary, so all words would be unknown; save its tokenizer there"
        )


def refused(load: Callable[[], Any], folder: Path, library: str) -> Any:
    """Returns what `load` returns, offline and without progress bars.

    Raises:
        DataError: The library raised an error of any kind.
    """
    try:
        with _offline():
            return load()
    except DataError:
        raise
    except Exception as error:  # libraries raise errors of many kinds for folders that they do not understand
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"the frozen encoder in {folder} cannot be loaded with {library}: {reason}; name the folder of another one"
        ) from error


def pooled(states: Tensor, mask: Tensor | None, pooling: str) -> Tensor:
    """Returns (b, d) the mean of states (b, t, d) over the tokens of `mask` (b, t), or the first state."""
    if pooling == "first":
        return states[:, 0]
    if mask is None:
        return states.mean(dim=1)
    weights = mask.to(states.dtype)[..., None]
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def projection_of(model: Any, name: str, pooling: str | None) -> Any:
    """Returns the method `name` of a model with a projection of its own, such as CLIP; None if it has none.

    Raises:
        DataError: It has one, and `pooling` is set.
    """
    found = getattr(model, name, None)
    if found is not None and pooling is not None:
        raise DataError(f"pooling: {type(model).__name__} has a projection of its own; remove pooling")
    return found


def vector_of(found: Any) -> Tensor:
    """Returns the (b, d) result of a projection, which is an object with several parts in newer versions."""
    return found if isinstance(found, Tensor) else found.pooler_output


def as_array(features: Tensor) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Returns features in float32 on the CPU."""
    return features.detach().float().cpu().numpy()


@contextmanager
def _offline() -> Iterator[None]:
    """Turns off the network of huggingface_hub, which local folders do not need, and the progress bars of loading."""
    hub = required("huggingface_hub.constants", extra="frozen", purpose="frozen encoders")
    bars = required("transformers.utils.logging", extra="frozen", purpose="frozen encoders")
    before, shown = hub.HF_HUB_OFFLINE, bars.is_progress_bar_enabled()
    hub.HF_HUB_OFFLINE = True
    bars.disable_progress_bar()
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before
        if shown:
            bars.enable_progress_bar()
