"""Features of many values: computed once, in batches of texts of similar lengths, with progress."""

import hashlib

import pytest

from nasfuse.data.frozen import features
from nasfuse.data.frozen.feature_cache import FeatureCache
from nasfuse.data.frozen.features import features_of
from nasfuse.data.frozen.macs import counted_macs
from nasfuse.data.progress import reporting
from tests.tiny_encoder import MACS, TinyEncoder, encoder_folder

__all__ = ["encoder_folder"]


def values_of(texts):
    return {hashlib.sha256(text.encode()).digest(): text for text in texts}


@pytest.fixture
def compute(encoder_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "N_BATCH", 2)
    cache = FeatureCache((tmp_path / "features",))

    def load():
        return TinyEncoder.load(encoder_folder, {})

    return lambda texts: features_of(values_of(texts), cache, load=load, decode=str.lower, what="features of m")


def test_values_are_computed_once_and_short_texts_before_long_ones(compute):
    told = []
    with reporting(lambda *progress: told.append(progress)):
        found = compute(["A", "abc abc", "c", "b b", "abcabcabc"])
    assert [[len(text) for text in batch] for batch in TinyEncoder.encoded] == [[1, 1], [3, 7], [9]]
    assert told == [("features of m", done, 5) for done in (2, 4, 5)]
    assert {values_of([text]).popitem()[0]: None for text in ("A", "c")}.keys() <= found.keys()
    assert found[next(iter(values_of(["abc abc"])))].features.tolist() == [6, 0]
    again = compute(["abc abc", "c", "cc"])
    assert TinyEncoder.encoded[3:] == [["cc"]]
    assert len(again) == 3
    assert len(TinyEncoder.loaded) == 2
    compute(["c"])
    assert len(TinyEncoder.loaded) == 2


def test_an_interruption_loses_the_last_batches_only(compute, monkeypatch):
    monkeypatch.setattr(features, "_N_KEPT", 1)
    plain = TinyEncoder.encode

    def fail_at_long_ones(self, values):
        if len(values[0]) > 2:
            raise KeyboardInterrupt
        return plain(self, values)

    monkeypatch.setattr(TinyEncoder, "encode", fail_at_long_ones)
    with pytest.raises(KeyboardInterrupt):
        compute(["a", "b", "abc"])
    monkeypatch.setattr(TinyEncoder, "encode", plain)
    compute(["a", "b", "abc"])
    assert TinyEncoder.encoded == [["b", "a"], ["abc"]] or TinyEncoder.encoded == [["a", "b"], ["abc"]]


def test_multiply_accumulates_are_those_of_the_products(encoder_folder):
    assert [counted_macs(TinyEncoder(), text) for text in ("a", "a b c")] == [MACS, 3 * MACS]
