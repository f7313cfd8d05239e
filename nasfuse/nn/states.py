"""Lazy computation of the streams of a batch: each stage is computed at most once, when it is needed."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.stream import Stream
from nasfuse.nn.tokens import Tokens


class StreamStates:
    """Tokens of the streams of a batch, computed on demand and cached where routes end.

    The states of a part of a batch (`rows`) reuse the cached states of the whole batch.
    """

    def __init__(
        self,
        streams: PerStream[Stream],
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        stops: Mapping[str, frozenset[int]],
        present: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Creates states without computing anything.

        Args:
            streams: Streams of the network.
            inputs: Inputs by modality.
            masks: Masks (b, T) by sequence; absent if no sequence is padded.
            stops: Numbers of stages, by stream, after which tokens are cached.
            present: Which samples (b,) have a modality; no entry if all have it.
        """
        self._streams = streams
        self._inputs = inputs
        self._masks = masks
        self._present = present or {}
        self._stops = stops
        self._known: dict[str, dict[int, Tokens]] = {name: {} for name in streams}
        self._whole: StreamStates | None = None  # what this is a part of
        self._rows_of_whole: Tensor | None = None
        self._rows: Tensor | None = None  # of the inputs

    def rows(self, rows: Tensor) -> "StreamStates":
        """Returns the states of the samples `rows` (k,) of these; a part can be divided again."""
        part = StreamStates(self._streams, self._inputs, self._masks, stops=self._stops, present=self._present)
        part._whole, part._rows_of_whole = self, rows
        part._rows = rows if self._rows is None else self._rows[rows]
        return part

    def cached(self) -> dict[tuple[str, int], Tokens]:
        """Returns the states that have been computed and cached, by stream and number of stages."""
        return {(name, count): tokens for name, known in self._known.items() for count, tokens in known.items()}

    def at(self, stream: str, n_stages: int) -> Tokens:
        """Returns the tokens of `stream` after its stem and `n_stages` stages."""
        return replace(self._at(stream, n_stages), readout=self._streams[stream].readout)

    def _at(self, stream: str, n_stages: int) -> Tokens:
        known = self._known[stream]
        if n_stages in known:
            return known[n_stages]
        start, tokens = self._start(stream, n_stages)
        for stage in range(start, n_stages):
            tokens = self._streams[stream].stages[stage](tokens)
            if stage + 1 in self._stops[stream]:
                known[stage + 1] = tokens
        return tokens

    def _start(self, stream: str, n_stages: int) -> tuple[int, Tokens]:
        """Returns the latest cached state up to `n_stages`, or the tokens after the stem if there is none."""
        latest = self._latest(stream, n_stages)
        if latest >= 0:
            return latest, self._take(stream, latest)
        tokens = self._streams[stream].start(*self._input(stream))
        if 0 in self._stops[stream]:
            self._known[stream][0] = tokens
        return 0, tokens

    def _latest(self, stream: str, n_stages: int) -> int:
        """Returns the most stages up to `n_stages` that are cached here or in the whole; -1 where none are."""
        own = max((count for count in self._known[stream] if count <= n_stages), default=-1)
        return own if self._whole is None else max(own, self._whole._latest(stream, n_stages))

    def _take(self, stream: str, count: int) -> Tokens:
        """Returns a state that is cached here or in the whole, and caches it here."""
        known = self._known[stream]
        if count not in known:
            assert self._whole is not None and self._rows_of_whole is not None, "it is cached somewhere"
            known[count] = self._whole._take(stream, count).rows(self._rows_of_whole)
        return known[count]

    def _input(self, stream: str) -> tuple[Tensor, Tensor | None, Tensor | None]:
        values, mask, present = self._inputs[stream], self._masks.get(stream), self._present.get(stream)
        if self._rows is None:
            return values, mask, present
        mask, present = (None if part is None else part[self._rows] for part in (mask, present))
        return values[self._rows], mask, present
