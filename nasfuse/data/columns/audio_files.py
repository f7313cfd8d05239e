"""Recordings as sequences of log-mel frames, from the files that a column of paths names."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data.columns.arrays import fit_cells, stack_cells
from nasfuse.data.columns.base import ColumnTransform, Problem, Reading, Rows, column_of
from nasfuse.data.columns.files import place_of_file, read_files
from nasfuse.data.extras import required
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError
from nasfuse.spec.modality import AudioFilesConfig

Floats = NDArray[np.float32]

#: Smallest energy of a mel band, so that the logarithm of silence is finite.
_FLOOR = 1e-6


@dataclass(frozen=True)
class AudioFiles(ColumnTransform):
    """Log-mel frames of recordings.

    Attributes:
        name: Name of the modality.
        config: Description of the modality.
        fill: (n_mels,) mean frame of the training samples, which stands for a missing recording.
        n_steps: Frames of the longest recording in the training samples.
    """

    name: str
    config: AudioFilesConfig
    fill: Tensor
    n_steps: int

    @property
    def has_lengths(self) -> bool:
        """Whether the result is a sequence with a length for each row."""
        return True

    @classmethod
    def fit(cls, name: str, config: AudioFilesConfig, raw: RawTable, rows: Rows) -> Self:
        """Returns the transform with the longest recording of the training samples."""
        column, where = column_of(name, config.column)
        found = _read(raw, column, where, config, rows)
        frames = [one for one in found if isinstance(one, np.ndarray)]
        if not frames:
            problem = next((f": {one.message}" for one in found if isinstance(one, Problem)), "")
            raise DataError(f"{raw.place(column)} names no recording that can be read{problem or '; name another'}")
        _, n_steps, fill = fit_cells(frames, is_sequence=True)
        assert n_steps is not None
        return cls(name, config, fill, n_steps)

    def read(self, raw: RawTable) -> Reading:
        """Returns (n, n_steps, n_mels) float32 and the number of frames of each recording."""
        column, where = column_of(self.name, self.config.column)
        cells = _read(raw, column, where, self.config, None)
        stacked = stack_cells(
            column, cells, place=partial(place_of_file, raw, column), fill=self.fill, n_steps=self.n_steps
        )
        arrays = ModalityArrays(
            "sequence",
            stacked.values.astype(np.float32),
            lengths=stacked.lengths,
            padding="right",
            present=stacked.present,
        )
        return Reading(arrays, stacked.problems, column, stacked.cut)

    def state(self) -> dict[str, Any]:
        """Returns the description, the mean frame and the number of frames."""
        return {"name": self.name, "config": self.config.to_plain(), "fill": self.fill, "n_steps": self.n_steps}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the transform of a `state`."""
        return cls(state["name"], AudioFilesConfig.parse(state["config"]), state["fill"], state["n_steps"])


def _read(
    raw: RawTable, column: str, where: str, config: AudioFilesConfig, rows: Rows | None
) -> list[Floats | Problem | None]:
    soundfile = required("soundfile", extra="audio", purpose="recordings")

    def load(path: Path) -> Floats:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if not len(samples):
            raise ValueError("it is empty")
        return log_mel(samples.mean(axis=1)[: math.ceil(config.max_s * rate)], rate, config)

    return read_files(raw, column, where, load=load, rows=rows, way=(column, config.model_dump_json()))


def log_mel(samples: Floats, rate_hz: int, config: AudioFilesConfig) -> Floats:
    """Returns the (t, n_mels) natural logarithms of the mel energies of a recording.

    Hann windows, power spectra, triangular bands that are equally spaced on the mel scale 2595 log10(1 + f / 700) from
    0 to half the sampling rate. Recordings shorter than a window are padded with silence.

    Args:
        samples: (s,) amplitudes from -1 to 1.
        rate_hz: Sampling rate of the samples.
        config: Settings of the frames.
    """
    from scipy.signal import resample_poly  # slow to import, and few data need it

    common = math.gcd(rate_hz, config.rate_hz)
    if rate_hz != config.rate_hz:
        samples = resample_poly(samples, config.rate_hz // common, rate_hz // common).astype(np.float32)
    window = max(round(config.window_ms * config.rate_hz / 1000), 2)
    hop = max(round(config.hop_ms * config.rate_hz / 1000), 1)
    padded = np.pad(samples, (0, max(window - len(samples), 0)))
    frames = torch.from_numpy(padded).unfold(0, window, hop)
    power = torch.fft.rfft(frames * torch.hann_window(window)).abs().square()
    energy = power @ torch.from_numpy(mel_bands(window, config))
    return np.asarray((energy + _FLOOR).log().numpy(), np.float32)


def mel_bands(window: int, config: AudioFilesConfig) -> Floats:
    """Returns the (window // 2 + 1, n_mels) weights of the frequencies in each mel band."""
    top = 2595 * math.log10(1 + config.rate_hz / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, config.n_mels + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(window, 1 / config.rate_hz)[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
