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
    ) -> None:
        """Creates states without computing anything.

        Args:
            streams: Streams of the network.
            inputs: Inputs by modality.
            masks: Masks (b, T) by sequence; absent if no sequence is padded.
            stops: Numbers of stages, by stream, after which tokens are cached.
        """
        self._streams = streams
        self._inputs = inputs
        self._masks = masks
        self._stops = stops
        self._known: dict[str, dict[int, Tokens]] = {name: {} for name in streams}
        self._whole: StreamStates | None = None
        self._rows: Tensor | None = None

    def rows(self, rows: Tensor) -> "StreamStates":
        """Returns the states of the samples `rows` (k,)."""
        part = StreamStates(self._streams, self._inputs, self._masks, stops=self._stops)
        part._whole, part._rows = self, rows
        return part

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
        """Returns the latest cached state up to `n_stages`, or the output of the stem if there is none."""
        known = self._known[stream]
        earlier = [count for count in known if count <= n_stages]
        if earlier:
            return max(earlier), known[max(earlier)]
        if self._whole is not None and self._rows is not None:
            whole = self._whole._known[stream]
            earlier = [count for count in whole if count <= n_stages]
            if earlier:
                tokens = whole[max(earlier)].rows(self._rows)
                known[max(earlier)] = tokens
                return max(earlier), tokens
        tokens = self._streams[stream].stem(*self._input(stream))
        if 0 in self._stops[stream]:
            known[0] = tokens
        return 0, tokens

    def _input(self, stream: str) -> tuple[Tensor, Tensor | None]:
        values, mask = self._inputs[stream], self._masks.get(stream)
        if self._rows is None:
            return values, mask
        return values[self._rows], None if mask is None else mask[self._rows]
