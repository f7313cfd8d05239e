"""From a table with numbers, categories, text and photos to predictions for new rows of such a table."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nasfuse
from nasfuse.errors import DataError, DataWarning
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.objective import Training
from nasfuse.spec.recipe import Recipe
from tests.prediction.conftest import CPU

MODALITIES = {
    "facts": {"kind": "table", "columns": ["price", "colour"]},
    "title": {"kind": "text", "length": 6},
    "photo": {"kind": "image_files", "size": 6, "channels": 1},
}


def products(folder, n_rows=60, *, seed=0):
    rng = np.random.default_rng(seed)
    kinds = np.arange(n_rows) % 3
    (folder / "photos").mkdir(exist_ok=True)
    paths = []
    for row, kind in enumerate(kinds):
        pixels = rng.integers(0, 60, (8, 9)) + 90 * kind
        paths.append(f"photos/{seed}-{row}.png")
        Image.fromarray(pixels.astype(np.uint8)).save(folder / paths[-1])
    names = np.array(["cap", "mug", "hat"])[kinds]
    return pd.DataFrame(
        {
            "price": rng.normal(size=n_rows) + 5 * kinds,
            "colour": rng.choice(["red", "blue"], n_rows),
            "title": [f"a nice {name} for you" for name in names],
            "photo": paths,
            "kind": names,
        }
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The network file, and a folder with new photos; the table and the photos of the training are gone."""
    folder = tmp_path_factory.mktemp("shop")
    products(folder).to_csv(folder / "products.csv", index=False)
    stream = {"encoder": "mlp", "depth": 1, "width": 8}
    recipe = Recipe.parse(
        {
            "data": {"source": str(folder / "products.csv"), "modalities": MODALITIES, "target": "kind"},
            "network": {
                "route": ["facts", "title", "photo"],
                "streams": dict.fromkeys(MODALITIES, stream),
                "fusion": {"kind": "concat", "placement": 1, "width": 8},
            },
            "training": {"epochs": 12, "lr": 0.02, "batch_size": 16},
        }
    )
    out = folder / "out"
    Training()(recipe, seed=0, division=0, folder=out, report=lambda *_: None, weight_sources={})
    (folder / "products.csv").unlink()
    for photo in (folder / "photos").iterdir():
        photo.unlink()
    return out / "model.pt", folder


def test_new_rows_without_targets(shop):
    path, folder = shop
    table = products(folder, 30, seed=1)
    table.drop(columns="kind").to_csv(folder / "new.csv", index=False)
    table.to_parquet(folder / "new.parquet")
    network = nasfuse.load_network(path)
    found = network.predict(folder / "new.csv")
    assert (found == table["kind"]).mean() > 0.9
    assert found.tolist() == network.predict(folder / "new.parquet").tolist()
    judged = evaluate_checkpoint(path, device=CPU, source=str(folder / "new.parquet"))
    assert judged["value"] == (found == table["kind"]).mean()
    assert [one["name"] for one in judged["by_class"]] == ["cap", "hat", "mug"]


def test_rows_with_something_new_or_missing(shop):
    path, folder = shop
    table = products(folder, 6, seed=2).drop(columns="kind")
    table.loc[0, "colour"] = "violet"
    table.loc[1, "price"] = np.nan
    table.loc[2, "photo"] = "photos/absent.png"
    (folder / table.loc[3, "photo"]).write_bytes(b"rubbish")
    table.loc[4, "title"] = "words never seen"
    table.to_csv(folder / "odd.csv", index=False)
    with pytest.warns(DataWarning) as told:
        found = nasfuse.load_network(path).predict_table(folder / "odd.csv")
    assert [str(one.message) for one in told] == [
        "odd.csv has categories that were rare or absent in the training, which are treated as unknown: colour in 1 row"
    ]
    assert found["prediction"].notna().tolist() == [True, True, False, False, True, True]
    assert "column photo of odd.csv, row 2: there is no file" in found.loc[2, "problem"]
    assert "column photo of odd.csv, row 3:" in found.loc[3, "problem"]
    assert found.loc[[0, 1, 4, 5], "problem"].isna().all()


def test_a_data_frame(shop, monkeypatch):
    path, folder = shop
    monkeypatch.chdir(folder)  # to which the paths are relative
    table = products(folder, 9, seed=3)
    table.index = range(100, 109)
    network = nasfuse.load_network(path)
    assert (network.predict(table) == table["kind"]).mean() > 0.8
    assert network.predict_table(table).index.tolist() == table.index.tolist()


def test_a_column_that_is_not_there(shop):
    path, folder = shop
    table = products(folder, 3, seed=4).drop(columns="colour")
    with pytest.raises(DataError, match=r"the data has no column 'colour' \(data.modalities.facts.columns\); "):
        nasfuse.load_network(path).predict(table)


def test_a_column_that_the_network_reads_is_not_proposed_for_another(shop):
    path, folder = shop
    table = products(folder, 3, seed=4).drop(columns="price").assign(prise=1.0)
    network = nasfuse.load_network(path)
    with pytest.raises(DataError, match=r"no column 'price' .*; did you mean 'prise'\? Known: "):
        network.predict(table)
    with pytest.raises(DataError, match=r"no column 'price' .*; Known: "):
        network.predict(table.rename(columns={"prise": "cost"}))


def test_a_folder_that_is_taken_for_images_by_class(shop, tmp_path):
    path, _ = shop
    products(tmp_path, 3)
    taken = r"; it was read as images in one folder per class; Known: image, y$"
    with pytest.raises(DataError, match=rf"has no column 'price' \(data\.modalities\.facts\.columns\){taken}"):
        nasfuse.load_network(path).predict(tmp_path)
