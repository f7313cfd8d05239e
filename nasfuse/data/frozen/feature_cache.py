"""Features of frozen encoders in files, by the content of the text or image."""

import hashlib
import json
import os
import warnings
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from nasfuse.data.frozen.base import Encoded
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataWarning

#: Folder of the features beside a data file.
_BESIDE = Path(".nasfuse", "features")
_COSTS = "macs.json"
#: Bytes of the hash of a text or image.
_N_BYTES = 32


@dataclass(frozen=True)
class FeatureCache:
    """Features of one encoder with one choice of its options.

    Every call of `add` writes one file under another name and renames it, so that a file is complete or absent, and
    several processes may write at once.

    Attributes:
        places: Folders that are read; the first one that can be written to gets new features.
        writes: Whether new features are written.
    """

    places: tuple[Path, ...]
    writes: bool = True

    def keys(self) -> set[bytes]:
        """Returns the hashes of the values whose features are known."""
        return {key for keys, _ in self._files() for key in keys}

    def find(self, wanted: Container[bytes]) -> dict[bytes, Encoded]:
        """Returns the features of the `wanted` values that are known, each (F,) with its number of tokens ()."""
        found = {}
        for keys, parts in self._files():
            rows = [row for row, key in enumerate(keys) if key in wanted]
            if rows:
                features, n_tokens = parts["features"], parts["n_tokens"]
                found.update({keys[row]: Encoded(features[row], n_tokens[row]) for row in rows})
        return found

    def add(self, found: Mapping[bytes, Encoded]) -> None:
        """Writes the features of values, each (F,) with its number of tokens ()."""
        keys = np.frombuffer(b"".join(found), np.uint8).reshape(-1, _N_BYTES)
        name = hashlib.sha256(keys.tobytes()).hexdigest()[:16]

        def write(path: Path) -> None:
            with open(path, "wb") as file:
                np.savez(
                    file,
                    keys=keys,
                    features=np.stack([one.features for one in found.values()]),
                    n_tokens=np.stack([one.n_tokens for one in found.values()]),
                )

        self._write(f"{name}.npz", write)

    def macs(self, key: bytes) -> int | None:
        """Returns the multiply-accumulates with which the features of a value are computed, if they are known."""
        known = self._costs().get(key.hex())
        return int(known) if isinstance(known, int) else None

    def add_macs(self, key: bytes, macs: int) -> None:
        """Writes the multiply-accumulates of a value."""
        text = json.dumps({**self._costs(), key.hex(): macs})
        self._write(_COSTS, lambda path: path.write_text(text, encoding="utf-8"))

    def _costs(self) -> dict[str, Any]:
        for place in self.places:
            try:
                found = json.loads((place / _COSTS).read_text(encoding="utf-8"))
            except (OSError, ValueError):  # damaged: counted again
                continue
            if isinstance(found, dict):
                return found
        return {}

    def _files(self) -> Iterator[tuple[list[bytes], Mapping[str, NDArray[Any]]]]:
        for place in self.places:
            for path in sorted(place.glob("[!.]*.npz")):
                try:
                    with np.load(path, allow_pickle=False) as parts:
                        keys = parts["keys"].tobytes()
                        yield [keys[start : start + _N_BYTES] for start in range(0, len(keys), _N_BYTES)], parts
                except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
                    warnings.warn(
                        f"{path} cannot be read ({error}); its features are computed again", DataWarning, stacklevel=4
                    )

    def _write(self, name: str, write: Any) -> None:
        """Writes a file in the first of the places where that is possible; warns if there is none."""
        if not self.writes:
            return
        reasons = []
        for place in self.places:
            temporary = place / f".{name}.{os.getpid()}"
            try:
                place.mkdir(parents=True, exist_ok=True)
                write(temporary)
                os.replace(temporary, place / name)
                return
            except OSError as error:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
                reasons.append(f"{place}: {error.strerror}")
        warnings.warn(
            f"features of a frozen encoder cannot be kept ({'; '.join(reasons)}), so they are computed in every start; "
            "free or name a folder that can be written to",
            DataWarning,
            stacklevel=3,
        )


def cache_of(raw: RawTable, *, encoder: str, fits: bool) -> FeatureCache:
    """Returns the cache of the features of an encoder beside the data, and in the user's cache folder.

    Beside the data is `.nasfuse/features`. Data from Python have only the user's cache folder, and features of new rows
    from Python are not written.

    Args:
        raw: The data.
        encoder: Hash of the encoder and of its options.
        fits: Whether the data are those of a training.
    """
    beside = _folder_of(raw)
    of_user = user_cache_path("nasfuse", appauthor=False) / "features" / encoder
    places = (of_user,) if beside is None else (beside / _BESIDE / encoder, of_user)
    return FeatureCache(places, writes=fits or beside is not None)


def _folder_of(raw: RawTable) -> Path | None:
    """Returns the folder of the file, or the folder, that the data were read from; None for data from Python."""
    if (raw.folder / raw.origin).is_file() or (raw.folder != Path() and raw.folder.name == raw.origin):
        return raw.folder
    return None
