"""Features in files: found again by content, in the first place that can be written to."""

import numpy as np
import pytest

from nasfuse.data.frozen.base import Encoded
from nasfuse.data.frozen.feature_cache import FeatureCache, cache_of
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataWarning


def key(number):
    return bytes([number]) * 32


def encoded(*numbers):
    return {key(number): Encoded(np.array([number, -number], np.float32), np.int64(number + 100)) for number in numbers}


def test_features_are_found_by_their_keys(tmp_path):
    cache = FeatureCache((tmp_path / "a",))
    assert cache.find({key(1)}) == {}
    cache.add(encoded(1, 2))
    cache.add(encoded(3))
    assert cache.keys() == {key(1), key(2), key(3)}
    found = FeatureCache((tmp_path / "a",)).find({key(2), key(3), key(9)})
    assert found.keys() == {key(2), key(3)}
    assert found[key(2)].features.tolist() == [2, -2]
    assert found[key(3)].n_tokens == 103
    assert all(not path.name.startswith(".") for path in (tmp_path / "a").iterdir())


def test_costs_are_found_by_their_keys(tmp_path):
    cache = FeatureCache((tmp_path,))
    assert cache.macs(key(1)) is None
    cache.add_macs(key(1), 7)
    cache.add_macs(key(2), 8)
    assert (cache.macs(key(1)), cache.macs(key(2))) == (7, 8)
    (tmp_path / "macs.json").write_text("[")
    assert cache.macs(key(1)) is None


def test_a_folder_that_cannot_be_written_to_is_replaced_by_the_next_one(tmp_path):
    (tmp_path / "file").write_text("no folder")
    places = (tmp_path / "file" / "a", tmp_path / "b")
    FeatureCache(places).add(encoded(1))
    assert list((tmp_path / "b").glob("*.npz"))
    assert FeatureCache(places).find({key(1)}).keys() == {key(1)}
    with pytest.warns(DataWarning, match=r"cannot be kept \(.*file/a: .*\), so they are computed in every start; free"):
        FeatureCache(places[:1]).add(encoded(1))


def test_nothing_is_written_where_that_is_not_wanted(tmp_path):
    cache = FeatureCache((tmp_path / "a",), writes=False)
    cache.add(encoded(1))
    cache.add_macs(key(1), 1)
    assert not (tmp_path / "a").exists()


def test_a_damaged_file_is_named_and_its_features_are_not_known(tmp_path):
    cache = FeatureCache((tmp_path,))
    cache.add(encoded(1))
    cache.add(encoded(2))
    path = sorted(tmp_path.glob("*.npz"))[0]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.warns(DataWarning, match=rf"{path.name} cannot be read .*; its features are computed again"):
        assert len(cache.find({key(1), key(2)})) == 1


class TestPlaces:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def places(self, raw, tmp_path, *, fits=True):
        found = cache_of(raw, encoder="e", fits=fits)
        return [place.relative_to(tmp_path).as_posix() for place in found.places], found.writes

    def test_beside_a_file_and_in_a_folder(self, tmp_path):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "shop.csv").write_text("")
        for raw in (
            RawTable("shop", "shop.csv", {}, 0, tmp_path / "data"),
            RawTable("data", "data", {}, 0, tmp_path / "data"),
        ):
            places = ["data/.nasfuse/features/e", "cache/nasfuse/features/e"]
            assert self.places(raw, tmp_path, fits=False) == (places, True)

    def test_data_from_python(self, tmp_path):
        raw = RawTable("data", "data", {}, 0)
        assert self.places(raw, tmp_path) == (["cache/nasfuse/features/e"], True)
        assert self.places(raw, tmp_path, fits=False) == (["cache/nasfuse/features/e"], False)
