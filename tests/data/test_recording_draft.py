"""What recordings in files are taken for."""

import numpy as np
import pytest
import soundfile

from nasfuse.data import extras
from nasfuse.data.draft import draft_data
from nasfuse.data.raw_table import RawTable

N = 6


@pytest.fixture
def draft(tmp_path):
    """Returns the entry and the note of recordings with rates and seconds."""

    def call(rates, *, seconds=0.1):
        for row, rate in enumerate(rates):
            soundfile.write(tmp_path / f"{row}.wav", np.zeros(int(seconds * rate)), rate)
        paths = np.array([f"{row}.wav" for row in range(N)], dtype=object)
        labels = np.array(["a", "b"] * (N // 2), dtype=object)
        found = draft_data(RawTable("t", "t.csv", {"call": paths, "y": labels}, N, tmp_path))
        return found.modalities["call"], found.notes["call"]

    return call


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_the_rate_is_that_of_the_files(draft, rate):
    entry, note = draft([rate] * N)
    assert entry == {"kind": "audio_files", "column": "call", "rate_hz": rate}
    assert note == f"paths of .wav files, {rate} Hz"


def test_different_rates_become_the_lowest(draft):
    entry, note = draft([16000, 8000, 44100] * (N // 3))
    assert entry["rate_hz"] == 8000
    assert note == "paths of .wav files, 8000 to 44100 Hz, all converted to the lowest rate"


def test_a_study_has_no_rate_that_is_not_allowed(draft):
    assert draft([800] * N)[0]["rate_hz"] == 1000


def test_recordings_that_are_cut_are_told(draft):
    assert draft([8000] * N, seconds=5.5)[1] == (
        "paths of .wav files, 8000 Hz; the longest has 5.5 s, and all are cut after 4 s (max_s)"
    )


def test_files_that_cannot_be_read_have_no_rate(draft, tmp_path):
    for row in range(N - 1):
        (tmp_path / f"{row}.wav").write_bytes(b"rubbish")
    assert draft([]) == ({"kind": "audio_files", "column": "call"}, "paths of .wav files")


def test_without_the_package_there_is_no_rate(draft, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(extras, "import_module", absent)
    assert "rate_hz" not in draft([8000] * N)[0]
