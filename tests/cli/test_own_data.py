"""From files and tables as people have them to predictions for new rows, by commands alone.

The training of a recipe stands for the search, except in `test_a_table_with_photos`; its data block is that of `init`.
"""

import wave

import numpy as np
import pandas as pd
import pytest
import yaml

import nasfuse as package
from nasfuse.errors import DataWarning
from tests.cli.test_init import products

CLASSES = np.array(["high", "low", "mid"])


def recipe_of(study, *, folder, encoders):
    """Writes a recipe with the data of a study."""
    plain = yaml.safe_load((folder / study).read_text(encoding="utf-8"))
    plain["data"].pop("validation")  # one training instead of one for each fold
    stream = {"mlp": {"encoder": "mlp", "depth": 1, "width": 8}, "linear": {"encoder": "linear"}}
    assert encoders.keys() == plain["data"]["modalities"].keys()
    network = {
        "route": list(encoders),
        "streams": {name: stream[encoder] for name, encoder in encoders.items()},
        "fusion": {"kind": "concat", "placement": 1, "width": 8},
    }
    recipe = {
        "data": plain["data"],
        "network": network,
        "training": {"epochs": 15, "lr": 0.02, "batch_size": 16, "patience": 15},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return "recipe.yaml"


def record(path, hz, rng):
    """Writes 0.2 s of a tone with noise."""
    samples = 0.5 * np.sin(2 * np.pi * hz * np.arange(1600) / 8000) + 0.05 * rng.normal(size=1600)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((samples * 20_000).astype("<i2").tobytes())


def clips(folder, n_rows, *, seed):
    """Writes recordings of three tones and a table without labels; returns the labels."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    kinds = np.arange(n_rows) % 3
    for row, kind in enumerate(kinds):
        record(folder / f"{row}.wav", [2500, 300, 900][kind], rng)
    columns = {
        "recording": [f"{row}.wav" for row in range(n_rows)],
        "room": rng.choice(["hall", "attic"], n_rows),
        "distance": rng.normal(size=n_rows),
    }
    return pd.DataFrame(columns), CLASSES[kinds]


def test_a_folder_of_recordings_with_a_table(nasfuse, tmp_path):
    table, labels = clips(tmp_path / "clips", 60, seed=0)
    table.assign(label=labels).to_csv(tmp_path / "clips" / "labels.csv", index=False)
    new, expected = clips(tmp_path / "later", 9, seed=1)
    new.loc[0, "room"] = "cellar"
    (tmp_path / "later" / "4.wav").unlink()
    new.loc[7, ["recording", "distance"]] = [None, np.nan]
    new.assign(label=None).to_csv(tmp_path / "later" / "new.csv", index=False)

    assert nasfuse("init", "clips").code == 0
    recipe = recipe_of("clips.yaml", folder=tmp_path, encoders={"table": "mlp", "recording": "linear"})
    assert nasfuse("train", recipe, "-o", "trained").code == 0
    ran = nasfuse("predict", "trained/seed0/model.pt", "later", "-o", "predictions.csv")
    assert ran.code == 3, "a row was not predicted"
    assert "wrote the predictions for 8 of 9 rows to predictions.csv" in ran.out
    assert "categories that were rare or absent in the training, which are treated as unknown: room in 1 row" in ran.err

    found = pd.read_csv(tmp_path / "predictions.csv")
    assert found["problem"].notna().tolist() == [row == 4 for row in range(9)]
    assert "column recording of new.csv, row 4: there is no file" in found.loc[4, "problem"]
    has_recording = [row for row in range(9) if row not in (4, 7)]
    assert found["prediction"][has_recording].tolist() == expected[has_recording].tolist()


def arrays(n_rows, *, seed):
    """Returns a table with a vector, a sequence of pairs and a list of ids in its cells, and the labels."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(n_rows) % 3
    columns = {
        "shop": rng.choice(["north", "south"], n_rows),
        "spectrum": [(rng.normal(size=5) + 3 * kind).tolist() for kind in kinds],
        "track": [(rng.normal(size=(rng.integers(3, 8), 2)) + 2 * kind).tolist() for kind in kinds],
        "bought": [rng.integers(3 * kind, 3 * kind + 3, rng.integers(1, 6)).tolist() for kind in kinds],
    }
    return pd.DataFrame(columns), CLASSES[kinds]


ENCODERS = {"table": "mlp", "spectrum": "mlp", "track": "linear", "bought": "linear"}


def test_a_parquet_file_with_lists_in_its_cells(nasfuse, tmp_path):
    table, labels = arrays(60, seed=0)
    table.assign(label=labels).to_parquet(tmp_path / "mine.parquet")
    new, expected = arrays(9, seed=1)
    new.loc[0, "shop"] = "west"
    new.at[3, "track"] = None
    new.at[5, "bought"] = [0, 90]  # an id beyond those of the training
    new.to_parquet(tmp_path / "new.parquet")

    assert nasfuse("init", "mine.parquet").code == 0
    recipe = recipe_of("mine.yaml", folder=tmp_path, encoders=ENCODERS)
    assert nasfuse("train", recipe, "-o", "trained").code == 0
    ran = nasfuse("predict", "trained/seed0/model.pt", "new.parquet", "-o", "predictions.parquet")
    assert ran.code == 3, "a row was not predicted"
    assert "column track of new.parquet: 1 value is missing (" in ran.sentence

    found = pd.read_parquet(tmp_path / "predictions.parquet")
    assert found["problem"].notna().tolist() == [row == 5 for row in range(9)]
    assert "bought: it has ids that are not from 0 to 8" in found.loc[5, "problem"]
    usable = [row for row in range(9) if row != 5]
    assert found["prediction"][usable].tolist() == expected[usable].tolist()


def test_a_data_frame_of_a_notebook(nasfuse, tmp_path):
    """Six lines: the table is saved, two commands, the network is loaded, and a table without labels is predicted."""
    frame, labels = arrays(60, seed=0)
    frame = frame.assign(shop=pd.Categorical(frame["shop"]), label=pd.Series(labels, dtype="string"))
    new, expected = arrays(6, seed=2)
    new.index = list("abcdef")
    new.loc["b", "shop"] = "west"

    frame.to_parquet("mine.parquet")
    assert nasfuse("init", "mine.parquet").code == 0
    recipe = recipe_of("mine.yaml", folder=tmp_path, encoders=ENCODERS)
    assert nasfuse("train", recipe, "-o", "trained").code == 0
    network = package.load_network("trained/seed0/model.pt")
    with pytest.warns(DataWarning, match="which are treated as unknown: shop in 1 row$"):
        found = network.predict_table(new)
    assert found["prediction"].to_dict() == dict(zip("abcdef", expected, strict=True))


@pytest.mark.slow
def test_a_table_with_photos(nasfuse, tmp_path):
    """Three commands: 500 photos with numbers, categories, dates and texts, a search, and predictions of its best."""
    products(tmp_path)
    assert nasfuse("init", "products.csv", "-o", "mine.yaml").code == 0
    text = (tmp_path / "mine.yaml").read_text(encoding="utf-8")
    for line, other in (("  validation: {folds: 5}", "  #"), ("space: full", "space: fusion")):  # quicker
        assert line in text
        text = text.replace(line, other)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    ran = nasfuse("search", "mine.yaml", "--trials", "1", "--workers", "1", "-o", "run")
    assert ran.code == 0
    assert "Front of products" in ran.out

    new = pd.read_csv(tmp_path / "products.csv")[:40].assign(label=None)
    expected = pd.read_csv(tmp_path / "products.csv")["label"]
    new.loc[3, "shop"] = "east"
    new.loc[5, "photo"] = "photos/absent.png"
    new.loc[6, ["title", "photo", "since"]] = None
    new.to_csv(tmp_path / "new.csv", index=False)
    ran = nasfuse("predict", "run", "new.csv", "-o", "predictions.csv")
    assert ran.code == 3, "a row was not predicted"
    found = pd.read_csv(tmp_path / "predictions.csv")
    assert found["problem"].notna().tolist() == [row == 5 for row in range(40)]
    assert "column photo of new.csv, row 5: there is no file" in found.loc[5, "problem"]
    assert (found["prediction"] == expected[:40]).mean() > 0.8
