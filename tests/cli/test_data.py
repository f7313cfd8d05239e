"""`nasfuse data`."""

from collections import Counter

import numpy as np
import pytest

from nasfuse.cli import data_bar
from nasfuse.data.columns import files
from nasfuse.data.sources import registry
from tests.cli.test_init import products


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "mine.npz",
        sensors=rng.normal(size=(60, 4)).astype(np.float32),
        photo=rng.integers(0, 255, (60, 8, 8)).astype(np.uint8),
        y=np.arange(60) % 3,
    )
    return "mine.npz"


def study(tmp_path, modalities="{sensors: vector, photo: image}", **data):
    rest = "".join(f", {key}: {value}" for key, value in data.items())
    (tmp_path / "s.yaml").write_text(
        f"name: s\ndata: {{source: mine.npz, modalities: {modalities}{rest}}}\nspace: fusion\nbudget: {{trials: 1}}\n"
    )
    return "s.yaml"


def test_list(nasfuse, tmp_path, monkeypatch, file):
    document = nasfuse("data", "list", "--json").json
    assert (document["shipped"], document["folder"], document["files"]) == (["digits"], str(tmp_path / "no-data"), [])
    assert "no data files in" in nasfuse("data", "list").out
    monkeypatch.setenv("NASFUSE_DATA", str(tmp_path))
    assert nasfuse("data", "list", "--json").json["files"] == [str(tmp_path / "mine.npz")]
    shown = nasfuse("data", "list").out
    assert "digits  shipped" in shown
    assert str(tmp_path / "mine.npz") in shown.splitlines()


def test_list_of_published_files(nasfuse, tmp_path, monkeypatch):
    from nasfuse.data.published import PUBLISHED
    from nasfuse.spec.shipped import shipped_files

    (tmp_path / "data" / "avmnist").mkdir(parents=True)
    (tmp_path / "data" / "mosi_data.pkl").write_bytes(b"")
    monkeypatch.setenv("NASFUSE_DATA", str(tmp_path / "data"))
    rows = {row["source"]: row for row in nasfuse("data", "list", "--json").json["published"]}
    assert rows.keys() == PUBLISHED.keys()
    studies = [study for row in rows.values() for study in row["studies"]]
    assert sorted(studies) == sorted(shipped_files("studies").keys() - {"digits"})
    assert {name for name, row in rows.items() if row["found"]} == {"avmnist", "mosi_data.pkl"}
    assert rows["avmnist"]["found"] == str(tmp_path / "data" / "avmnist")
    assert rows["avdigits.npz"]["studies"] == ["avdigits", "avdigits_dynmm"]
    lines = nasfuse("data", "list").out.splitlines()
    assert f"mosi_data.pkl  study mosi  found: {tmp_path}/data/mosi_data.pkl" in lines
    start = lines.index(f"multimodal_imdb.hdf5  study mm_imdb  not found in {tmp_path} or {tmp_path}/data")
    assert lines[start + 1].startswith("    HDF5 with features (25959, 300), vgg_features")
    assert lines[start + 2] == "    origin: the Internet Archive, https://archive.org/details/mmimdb"


@pytest.mark.parametrize("source", ["digits", "studies/digits.yaml"])
def test_check_of_what_is_shipped(nasfuse, source):
    document = nasfuse("data", "check", source, "--json").json
    assert document["modalities"] == ["left: image 1 x 8 x 4", "right: image 1 x 8 x 4"]
    assert document["samples"] == "1437 train, 180 val, 180 test"
    assert "in order" in nasfuse("data", "check", source).out


def test_check_of_a_study_and_of_a_recipe(nasfuse, tmp_path, file):
    by_study = nasfuse("data", "check", study(tmp_path), "--json").json
    (tmp_path / "r.yaml").write_text(
        "data: {source: mine.npz, modalities: {sensors: vector, photo: image}}\n"
        "network: {route: [sensors], streams: {sensors: {encoder: mlp}}}\n"
    )
    assert nasfuse("data", "check", "r.yaml", "--json").json == by_study
    assert by_study["task"] == "multiclass, 3 outputs"


def test_an_undescribed_file_gets_a_suggestion(nasfuse, file, tmp_path):
    ran = nasfuse("data", "check", file)
    assert ran.code == 0
    assert "sensors  float32 60 x 4" in ran.out
    assert "sensors: vector" in ran.out
    document = nasfuse("data", "check", file, "--json").json
    assert document["arrays"]["photo"] == {"dtype": "uint8", "shape": [60, 8, 8]}
    suggested = document["data"]["modalities"]
    assert suggested == {"sensors": "vector", "photo": "image"}
    assert nasfuse("data", "check", study(tmp_path, str(suggested).replace("'", "")), "--json").code == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sensors": np.full((60, 4), np.nan)}, "sensors"),
        ({"y": np.array(["cat", ""] * 30)}, "the labels must be words without spaces at their ends, got '' in row 1"),
        ({"y": np.zeros(60, dtype=np.int64)}, "the labels hold one class only"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(nasfuse, tmp_path, changes, message):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", **{"sensors": rng.normal(size=(60, 4)), "y": np.arange(60) % 2, **changes})
    ran = nasfuse("data", "check", "x.npz")
    assert ran.code == 2
    assert "sensors: vector" in ran.out
    assert message in ran.sentence and "(with the suggested data block)" in ran.sentence
    ran = nasfuse("data", "check", "x.npz", "--json")
    assert ran.code == 2
    assert message in ran.json["problem"]


def test_files_without_arrays_or_labels(nasfuse, refuses, tmp_path):
    np.savez(tmp_path / "empty.npz")
    assert "empty.npz holds no arrays; save one per modality" in refuses("data", "check", "empty.npz")
    np.savez(tmp_path / "x.npz", sensors=np.zeros((6, 2)), marks=np.arange(6))
    ran = nasfuse("data", "check", "x.npz")
    assert ran.code == 0
    assert "x.npz has no array called target, label, class, y or labels; name the target with --target." in ran.out


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("absent.npz", "no data set 'absent.npz'"),
        ("digitz", "did you mean 'digits'"),
        ("absent.yaml", "no such file: absent.yaml"),
        ("bad.npz", "is not an .npz file of plain arrays"),
        ("list.yaml", "the file must hold a YAML mapping"),
    ],
)
def test_refusals(refuses, tmp_path, source, message):
    (tmp_path / "bad.npz").write_bytes(b"rubbish")
    (tmp_path / "list.yaml").write_text("- a\n")
    assert message in refuses("data", "check", source)


@pytest.mark.parametrize(
    ("modalities", "data", "message"),
    [
        ("{}", {}, "mine.npz needs data.modalities"),
        ("{sensor: vector}", {}, "has no array 'sensor' (data.modalities.sensor); did you mean 'sensors'?"),
        ("{sensors: vector}", {"target": "labels"}, "has no array 'labels' (data.target)"),
        ("{sensors: image}", {}, "sensors"),
        (
            "{sensors: sound}",
            {},
            "'sound' is not known; Known: array_files, audio_files, image, image_features, image_files, sequence",
        ),
    ],
)
def test_descriptions_that_do_not_fit(refuses, tmp_path, file, modalities, data, message):
    assert message in refuses("data", "check", study(tmp_path, modalities, **data))


def rare_and_padded(tmp_path, n_samples=60):
    """A file with one sample of class [bold]2 and sequences padded in front."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 5, n_samples)
    steps = np.where(np.arange(6)[:, None] >= 6 - lengths[:, None, None], rng.normal(size=(n_samples, 6, 2)), 0.0)
    labels = np.arange(n_samples) % 2
    labels[5] = 2
    np.savez(tmp_path / "mine.npz", **{"a[b]": steps, "n": lengths, "y": labels})
    return "{a: {kind: sequence, array: 'a[b]', lengths: n}}"


def test_check_lists_the_warnings(nasfuse, tmp_path):
    source = study(tmp_path, rare_and_padded(tmp_path))
    document = nasfuse("data", "check", source, "--json").json
    assert [text.split(":")[1].split(" the ")[0] for text in document["warnings"]] == [
        " some classes have at most 2 samples each, too few to divide; all their samples stay in train",
        " modality a is padded in front",
    ]
    ran = nasfuse("data", "check", source)
    assert (ran.code, ran.err) == (0, "")
    assert "    warnings  mine: some classes have at most 2 samples each" in ran.out
    assert all(text in ran.out for text in document["warnings"])
    assert nasfuse("data", "check", "digits", "--json").json["warnings"] == []


def test_a_warning_is_one_line_on_standard_error(nasfuse, tmp_path):
    modalities = rare_and_padded(tmp_path)
    (tmp_path / "r.yaml").write_text(
        f"data: {{source: mine.npz, modalities: {modalities}}}\n"
        "network: {route: [a], streams: {a: {encoder: mlp, width: 4}}}\n"
        "training: {epochs: 1}\n"
    )
    ran = nasfuse("train", "r.yaml", "--seeds", "2", "-o", "out")
    assert ran.code == 0
    lines = [line for line in ran.err.splitlines() if not line.startswith("data: ")]  # the path names this test
    warned = [line for line in lines if "warning" in line.lower()]
    assert [line.split(":")[0] for line in warned] == ["warning"] * 2
    assert ": class 2 (1 sample)" in warned[0]
    assert ".py" not in ran.err


def test_foreign_text_in_a_warning_is_printed_as_it_is(capsys):
    from nasfuse.cli.console import warn

    warn("class [red]x[/red] [/]")
    assert capsys.readouterr().err == "warning: class [red]x[/red] [/]\n"


def test_a_check_reads_every_file_once_and_shows_its_progress(nasfuse, tmp_path, monkeypatch):
    products(tmp_path, 60)
    read = Counter()

    def attempt(load, path, original=files._attempt):
        read[path.name] += 1
        return original(load, path)

    def table(path, original=registry.READERS[".csv"]):
        read[path.name] += 1
        return original(path)

    monkeypatch.setattr(files, "_attempt", attempt)
    monkeypatch.setitem(registry.READERS, ".csv", table)
    monkeypatch.setattr(data_bar, "LINE_EVERY_S", -1.0)
    ran = nasfuse("data", "check", "products.csv")
    assert ran.code == 0
    assert read == {"products.csv": 1, **{f"{row}.png": 1 for row in range(60)}}
    lines = ran.err.splitlines()
    for what, total in (("reading photo", 60), ("comparing samples of train", 1), ("linear models", 3)):
        assert f"{what}: {total} of {total}" in lines
