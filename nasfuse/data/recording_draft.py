"""A first description of recordings in files: the sampling rate that they have."""

from collections.abc import Mapping
from typing import Any

from nasfuse.data.extras import required
from nasfuse.data.raw_table import RawTable, texts
from nasfuse.errors import MissingPackageError
from nasfuse.spec.modality import AudioFilesConfig

#: Files whose headers are read, at most.
_LOOK_AT = 2000
#: Smallest rate of recordings that are read, in Hz.
_LOWEST_HZ = 1000


def draft_recordings(raw: RawTable, column: str) -> tuple[dict[str, Any], str]:
    """Returns the entry of a modality for recordings, and a note on the rates and lengths of the files.

    The rate is that of the files. Where they differ it is the lowest one, which none of them exceeds, so that no band
    is empty in some recordings only. Files that cannot be read are left to the reading of the data.

    Args:
        raw: Table of the column.
        column: Column of paths.
    """
    entry = {"kind": "audio_files", "column": column}
    seconds_by_rate = _longest_by_rate(raw, column)
    if not seconds_by_rate:
        return entry, ""
    lowest, highest = min(seconds_by_rate), max(seconds_by_rate)
    note = f", {lowest} Hz"
    if lowest < highest:
        note = f", {lowest} to {highest} Hz, all converted to the lowest rate"
    longest_s, most_s = max(seconds_by_rate.values()), AudioFilesConfig.model_fields["max_s"].default
    if longest_s > most_s:
        note += f"; the longest has {longest_s:.3g} s, and all are cut after {most_s:g} s (max_s)"
    return {**entry, "rate_hz": max(lowest, _LOWEST_HZ)}, note


def _longest_by_rate(raw: RawTable, column: str) -> Mapping[int, float]:
    """Returns the seconds of the longest recording of each rate in Hz; empty if none can be read."""
    try:
        soundfile = required("soundfile", extra="audio", purpose="recordings")
    except MissingPackageError:  # the reading of the data tells it
        return {}
    found: dict[int, float] = {}
    for path in sorted({text for text in texts(raw.columns[column]) if text})[:_LOOK_AT]:
        try:
            info = soundfile.info(raw.folder / path)
        except (OSError, RuntimeError):
            continue
        found[info.samplerate] = max(found.get(info.samplerate, 0.0), info.duration)
    return found
