"""Expansion of paths and routes of a search space for the modalities of a data set."""

import re
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any

from nasfuse.domain.modality import ENCODERS, Modality
from nasfuse.domain.route import ESCALATE, JOIN, is_dynamic, parse_route, routes_of, streams_of, write_route

PREFIX = "network.streams."

#: Prefix of paths that stand for every stream.
WILDCARD = f"{PREFIX}*."

_OTHERS = re.compile(r"(?<![\w-])others(:\d+)?(?![\w-])")

_EACH = re.compile(r"(?<![\w-])each(?![\w-])")


def stream_of(path: str) -> str | None:
    """Returns the name of the stream in `path`, `*` for every stream, or None if it has none."""
    return path.split(".")[2] if path.startswith(PREFIX) and path.count(".") > 2 else None


class Streams:
    """Expands paths and routes for the modalities of a data set.

    Attributes:
        modalities: Modalities by name, in the order of the data.
    """

    def __init__(self, modalities: Sequence[Modality]) -> None:
        """Expands for `modalities`."""
        self.modalities = {modality.name: modality for modality in modalities}

    def paths(self, path: str, kinds: Sequence[str] | None = None) -> list[str]:
        """Returns `path` for each stream that `*` stands for; `kinds` restricts them to those of some modalities."""
        if not path.startswith(WILDCARD):
            return [path]
        chosen = [m.name for m in self.modalities.values() if kinds is None or m.kind in kinds]
        return [path.replace("*", name) for name in chosen]

    def suits(self, path: str, value: Any) -> bool:
        """Returns whether the modality in `path` accepts `value`, which matters for encoders only."""
        stream = stream_of(path)
        if stream not in self.modalities or not path.endswith(".encoder"):
            return True
        return value in ENCODERS[self.modalities[stream].kind]

    def route(self, value: Any) -> str:
        """Returns `value` as one word: a route, or several that a router chooses from, in the order of the data.

        `all` stands for every modality; unknown names are left out.

        Raises:
            ValueError: The syntax is not that of a route.
        """
        if isinstance(value, list | tuple):
            value = JOIN.join(str(name) for name in value)
        routes = [route for route in (self._one_route(one) for one in routes_of(str(value))) if route]
        if len(set(routes)) < len(routes):
            raise ValueError(f"two routes of {str(value)!r} come to the same; name each once")
        return ESCALATE.join(routes)

    def _one_route(self, text: str) -> str:
        stages = dict.fromkeys(self.modalities) if text == "all" else parse_route(text)
        if "all" in stages and "all" not in self.modalities:
            raise ValueError(f"all is every stream and stands alone in a route, got {text!r}; name streams instead")
        return write_route({name: stages[name] for name in self.modalities if name in stages})

    def strangers(self, value: Any) -> list[str]:
        """Returns the names on a route that are not modalities of the data."""
        text = JOIN.join(str(name) for name in value) if isinstance(value, list | tuple) else str(value)
        return [name for name in streams_of(text) if name not in ("", "all") and name not in self.modalities]

    def expand(self, value: Any) -> dict[str | None, Any]:
        """Returns the routes that `each` in `value` stands for: one per modality, by name.

        `each` is one modality and `others` are the rest: `each > each+others:1 > all` is DynMM's fusion level. A value
        without `each` is returned unchanged, under the key None. A dynamic route with `each` is left out if the data
        have a single modality.
        """
        if not isinstance(value, str) or not _EACH.search(value):
            return {None: value}
        found: dict[str | None, Any] = {}
        for name in self.modalities:
            one = _EACH.sub(name, value)
            others = [other for other in self.modalities if other != name]
            one = _OTHERS.sub(partial(_rest, others), one)
            if others or not is_dynamic(value):
                found[name] = one
        return found

    def routes(self) -> list[str]:
        """Returns every static route, those with fewer streams first."""
        sizes = range(1, len(self.modalities) + 1)
        return [JOIN.join(chosen) for size in sizes for chosen in combinations(self.modalities, size)]


def _rest(names: Sequence[str], match: re.Match[str]) -> str:
    """Returns the streams that `others` or `others:1` stands for."""
    return JOIN.join(f"{name}{match[1] or ''}" for name in names)
