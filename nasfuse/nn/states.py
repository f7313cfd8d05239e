"""Lazy computation of the streams of a batch: each stage is computed at most once, when it is needed."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.places import Line, Place
from nasfuse.nn.sites.sites import Sites
from nasfuse.nn.stream import Stream
from nasfuse.nn.tokens import Tokens


class StreamStates:
    """Tokens of the streams of a batch, computed on demand and cached where routes end or part.

    The states of a part of a batch (`rows`) reuse the cached states of the whole batch.
    """

    def __init__(
        self,
        streams: PerStream[Stream],
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        stops: frozenset[Place],
        sites: Sites | None = None,
        present: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Creates states without computing anything.

        Args:
            streams: Streams of the network.
            inputs: Inputs by modality.
            masks: Masks (b, T) by sequence; absent if no sequence is padded.
            stops: Places whose tokens are cached.
            sites: Sites at which the main stream takes in others, if the network has some.
            present: Which samples (b,) have a modality; no entry if all have it.
        """
        self._streams = streams
        self._inputs = inputs
        self._masks = masks
        self._present = present or {}
        self._stops = stops
        self._sites = sites
        self._known: dict[Line, dict[int, Tokens]] = {}
        self._whole: StreamStates | None = None  # what this is a part of
        self._rows_of_whole: Tensor | None = None
        self._rows: Tensor | None = None  # of the inputs

    def rows(self, rows: Tensor) -> "StreamStates":
        """Returns the states of the samples `rows` (k,) of these; a part can be divided again."""
        part = StreamStates(
            self._streams, self._inputs, self._masks, stops=self._stops, sites=self._sites, present=self._present
        )
        part._whole, part._rows_of_whole = self, rows
        part._rows = rows if self._rows is None else self._rows[rows]
        return part

    def cached(self) -> dict[Place, Tokens]:
        """Returns the states that have been computed and cached."""
        return {Place(line, count): tokens for line, known in self._known.items() for count, tokens in known.items()}

    def at(self, place: Place) -> Tokens:
        """Returns the tokens at `place`."""
        return replace(self._at(place), readout=self._streams[place.line.stream].readout)

    def _at(self, place: Place) -> Tokens:
        line, n_stages = place.line, place.n_stages
        known = self._known.setdefault(line, {})
        if n_stages in known:
            return known[n_stages]
        start, tokens = self._start(line, n_stages)
        for stage in range(start, n_stages):
            tokens = self._streams[line.stream].stages[stage](tokens)
            self._keep(Place(line, stage + 1), tokens)
        return tokens

    def _start(self, line: Line, n_stages: int) -> tuple[int, Tokens]:
        """Returns the latest cached state up to `n_stages`, or the tokens at the beginning of the line."""
        latest = self._latest(line, n_stages)
        if latest >= 0:
            return latest, self._take(line, latest)
        start = 0
        if line.taken:
            assert self._sites is not None, "only sites make further lines"
            main, others = self._sites.inputs(line)
            read = {name: self._at(other) for name, other in others.items()}
            start, tokens = main.n_stages, self._sites.take(line, self._at(main), read)
        else:
            tokens = self._streams[line.stream].start(*self._input(line.stream))
        self._keep(Place(line, start), tokens)
        return start, tokens

    def _keep(self, place: Place, tokens: Tokens) -> None:
        if place in self._stops:
            self._known.setdefault(place.line, {})[place.n_stages] = tokens

    def _latest(self, line: Line, n_stages: int) -> int:
        """Returns the most stages up to `n_stages` that are cached here or in the whole; -1 where none are."""
        own = max((count for count in self._known.get(line, ()) if count <= n_stages), default=-1)
        return own if self._whole is None else max(own, self._whole._latest(line, n_stages))

    def _take(self, line: Line, count: int) -> Tokens:
        """Returns a state that is cached here or in the whole, and caches it here."""
        known = self._known.setdefault(line, {})
        if count not in known:
            assert self._whole is not None and self._rows_of_whole is not None, "it is cached somewhere"
            known[count] = self._whole._take(line, count).rows(self._rows_of_whole)
        return known[count]

    def _input(self, stream: str) -> tuple[Tensor, Tensor | None, Tensor | None]:
        values, mask, present = self._inputs[stream], self._masks.get(stream), self._present.get(stream)
        if self._rows is None:
            return values, mask, present
        mask, present = (None if part is None else part[self._rows] for part in (mask, present))
        return values[self._rows], mask, present
