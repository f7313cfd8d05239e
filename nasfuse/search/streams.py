"""What a space's paths and routes mean for the modalities of one data set."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from nasfuse.config.modality import ENCODERS, Modality
from nasfuse.search.parameters import ROUTE_SEPARATOR

PREFIX = "network.streams."

#: Stands for the name of every stream.
WILDCARD = f"{PREFIX}*."


def stream_of(path: str) -> str | None:
    """Returns the stream a path is about, `*` for every stream, None for a path of no stream."""
    return path.split(".")[2] if path.startswith(PREFIX) and path.count(".") > 2 else None


class Streams:
    """The modalities of a data set, as spaces name them.

    Attributes:
        modalities: By name, in the order of the data.
    """

    def __init__(self, modalities: Sequence[Modality]) -> None:
        """Keeps the `modalities` of the data."""
        self.modalities = {modality.name: modality for modality in modalities}

    def paths(self, path: str, kinds: Sequence[str] | None = None) -> list[str]:
        """Returns `path` for each stream that `*` stands for; only those of some `kinds` of modality."""
        if not path.startswith(WILDCARD):
            return [path]
        chosen = [m.name for m in self.modalities.values() if kinds is None or m.kind in kinds]
        return [path.replace("*", name) for name in chosen]

    def suits(self, path: str, value: Any) -> bool:
        """Returns whether the modality of `path` can have `value`: every one has its own encoders."""
        stream = stream_of(path)
        if stream not in self.modalities or not path.endswith(".encoder"):
            return True
        return value in ENCODERS[self.modalities[stream].kind]

    def route(self, value: Any) -> str:
        """Returns a route as one word, in the order of the data; `all` is every modality."""
        names = self.modalities if value == "all" else _names(value)
        return ROUTE_SEPARATOR.join(name for name in self.modalities if name in names)

    def strangers(self, value: Any) -> list[str]:
        """Returns the names on a route that are no modality of the data."""
        return [] if value == "all" else [name for name in _names(value) if name not in self.modalities]

    def routes(self) -> list[str]:
        """Returns every route, those of fewer streams first."""
        sizes = range(1, len(self.modalities) + 1)
        return [ROUTE_SEPARATOR.join(chosen) for size in sizes for chosen in combinations(self.modalities, size)]


def _names(value: Any) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list | tuple) else str(value).split(ROUTE_SEPARATOR)
