"""The local folder of a frozen encoder: where it is, what it contains, and whether it can be loaded safely."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from nasfuse.errors import DataError, MissingFileError

#: Environment variable with the folder in which encoders are that are not where a recipe or a network names them.
PLACE = "NASFUSE_MODELS"

#: Endings of the files on which the features depend. Others are documentation, or the weights in another format.
_ENDINGS = (".json", ".txt", ".model", ".safetensors", ".tiktoken")


def find_model(folder: str, *, where: str) -> Path:
    """Returns the folder of an encoder: as it is named, or below `$NASFUSE_MODELS`, the longest end of the path first.

    Args:
        folder: Path in a recipe or network.
        where: Key of the configuration that names it, for the message.

    Raises:
        MissingFileError: There is no such folder.
    """
    given = Path(folder)
    places, elsewhere = [given], os.environ.get(PLACE)
    if elsewhere:
        first = 1 if given.is_absolute() else 0
        places += [Path(elsewhere, *given.parts[start:]) for start in range(first, len(given.parts))]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        also = f", nor {given.name} in {elsewhere} ({PLACE})" if elsewhere else ""
        raise MissingFileError(
            f"{where}: there is no folder {folder} of a frozen encoder{also}; correct the path, or set {PLACE} to the "
            f"folder in which {given.name} is now"
        )
    return found


def check_model(folder: Path, *, where: str, kind: str, description: str = "config.json") -> None:
    """Checks that a folder has the description and the weights of an encoder.

    Args:
        folder: The folder.
        where: Prefix of messages.
        kind: What the folder should contain, for messages.
        description: Name of the file that describes the encoder.

    Raises:
        DataError: A file is absent.
    """
    if not (folder / description).is_file():
        raise DataError(f"{where}: {folder} is no {kind}, it has no {description}; name the folder of one")
    if (folder / "adapter_config.json").is_file():
        raise DataError(
            f"{where}: {folder} is an adapter of another model; merge the two (merge_and_unload of peft) and save them"
        )
    if not any(folder.rglob("*.safetensors")):
        raise DataError(
            f"{where}: {folder} has no weights in safetensors, the only format that is read; save the model with "
            "save_pretrained (safe_serialization=True)"
        )


def content_of(folder: Path) -> str:
    """Returns a hash of 32 hexadecimal digits over names and content of the files on which the features depend."""
    inside = (file.relative_to(folder) for file in folder.rglob("*") if file.suffix in _ENDINGS and file.is_file())
    files = sorted(file.as_posix() for file in inside if not any(part.startswith(".") for part in file.parts))
    stats = [(folder / name).stat() for name in files]
    states = tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in zip(files, stats, strict=True))
    return _content(folder.absolute(), states)


@lru_cache(maxsize=16)
def _content(folder: Path, states: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, _, _ in states:
        with open(folder / name, "rb") as file:
            digest.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]
