"""Features of many values: those in the cache, and the others computed in batches."""

from collections.abc import Callable, Mapping
from typing import Any

from nasfuse.data.frozen.base import Encoded, FrozenEncoder
from nasfuse.data.frozen.feature_cache import FeatureCache
from nasfuse.data.progress import progressed

#: Values that are computed at once.
N_BATCH = 32
#: Batches after which features are written, so that an interruption loses no more.
_N_KEPT = 32


def features_of(
    values: Mapping[bytes, Any],
    cache: FeatureCache,
    *,
    load: Callable[[], FrozenEncoder],
    decode: Callable[[Any], Any],
    what: str,
) -> dict[bytes, Encoded]:
    """Returns the features (F,) and numbers of tokens () of all values.

    Texts of similar lengths are in one batch, so that little is padded.

    Args:
        values: Values by the hash of their content.
        cache: Features that are known; gets the new ones.
        load: Returns the encoder, called if there are new values.
        decode: Returns what the encoder reads of a value.
        what: What is computed, for progress.
    """
    found = cache.find(values.keys())
    new = sorted(values.keys() - found.keys(), key=lambda key: (_size(values[key]), key))
    if not new:
        return found
    encoder, fresh = load(), dict[bytes, Encoded]()
    for start in range(0, len(new), N_BATCH):
        keys = new[start : start + N_BATCH]
        batch = encoder.encode([decode(values[key]) for key in keys])
        fresh.update({key: Encoded(batch.features[row], batch.n_tokens[row]) for row, key in enumerate(keys)})
        progressed(what, start + len(keys), len(new))
        if len(fresh) >= _N_KEPT * N_BATCH or start + N_BATCH >= len(new):
            cache.add(fresh)
            found.update(fresh)
            fresh = {}
    return found


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else 0
