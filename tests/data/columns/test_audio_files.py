"""Log-mel frames of recordings."""

import numpy as np
import pytest
import soundfile

from nasfuse.data import extras
from nasfuse.data.columns.audio_files import AudioFiles, log_mel, mel_bands
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError, MissingPackageError
from nasfuse.spec.modality import AudioFilesConfig

CONFIG = AudioFilesConfig(kind="audio_files", rate_hz=8000, n_mels=20)


def tone(hertz, *, rate=8000, seconds=0.5):
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize("hertz", [300, 1000, 2500])
def test_a_tone_is_in_the_band_of_its_frequency(hertz):
    frames = log_mel(tone(hertz), 8000, CONFIG)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 22) / 2595) - 1)
    loudest = int(frames.mean(axis=0).argmax())
    assert edges[loudest] < hertz < edges[loudest + 2]


def test_frames_per_second():
    assert log_mel(tone(500, seconds=1.0), 8000, CONFIG).shape == ((8000 - 200) // 160 + 1, 20)


def test_recordings_of_other_rates_are_converted():
    fine = log_mel(tone(500, rate=24000), 24000, CONFIG)
    assert np.allclose(fine[3:-3].mean(axis=0).argmax(), log_mel(tone(500), 8000, CONFIG).mean(axis=0).argmax())
    assert abs(len(fine) - len(log_mel(tone(500), 8000, CONFIG))) <= 1


def test_silence_and_very_short_recordings_are_finite():
    for samples in (np.zeros(8000, np.float32), np.zeros(1, np.float32)):
        frames = log_mel(samples, 8000, CONFIG)
        assert len(frames) >= 1
        assert np.isfinite(frames).all()


def test_inner_bands_sum_to_one():
    bands = mel_bands(200, AudioFilesConfig(kind="audio_files", rate_hz=8000, n_mels=5))
    centre = bands[10:60].sum(axis=1)
    assert np.allclose(centre, 1.0, atol=1e-5)


def test_flac_channels_and_the_longest_recording(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.stack([tone(500), tone(500)], axis=1), 8000)
    soundfile.write(tmp_path / "b.wav", tone(500, seconds=0.2), 8000)
    raw = RawTable("t", "t.csv", {"sound": np.array(["a.flac", "b.wav"], dtype=object)}, 2, tmp_path)
    audio = AudioFiles.fit("sound", CONFIG, raw, np.array([0]))
    arrays = audio.read(raw).arrays
    assert arrays.values.shape == (2, 24, 20)
    assert arrays.lengths.tolist() == [24, 9]


def test_without_a_recording_that_can_be_read(tmp_path):
    raw = RawTable("t", "t.csv", {"sound": np.array(["a.wav"], dtype=object)}, 1, tmp_path)
    with pytest.raises(
        DataError, match=r"names no recording that can be read: column sound of t\.csv, row 0: there is no"
    ):
        AudioFiles.fit("sound", CONFIG, raw, np.array([0]))


def test_a_missing_package_is_named(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(extras, "import_module", absent)
    with pytest.raises(
        MissingPackageError, match=r"^recordings need the package soundfile, which .* pip install 'nasfuse\[audio\]'$"
    ):
        extras.required("soundfile", extra="audio", purpose="recordings")
