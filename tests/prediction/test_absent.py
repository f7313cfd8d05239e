"""Rows of new data that lack a modality: only networks that were trained for it take them."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import nasfuse
from nasfuse.errors import DataError, DataWarning
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.objective import Training
from nasfuse.spec.recipe import Recipe
from tests.prediction.conftest import CPU, arrays_of, stream

LACK = np.arange(60) % 7 == 3


def with_nan(name, *, rows=LACK, seed=0):
    arrays = arrays_of(seed=seed)
    arrays[name] = arrays[name].copy()
    arrays[name][rows] = np.nan
    return arrays


def unlabelled(arrays, *without):
    return {key: values for key, values in arrays.items() if key not in ("y", *without)}


@pytest.fixture(scope="module")
def network_file(trained):
    """A network of a vector, a sequence with lengths and an image, trained where samples lack the sequence."""
    streams = {"v": stream("mlp"), "s": stream("transformer"), "i": stream("conv")}
    fusion = {"kind": "concat", "placement": 1, "width": 4}
    network = {"route": list(streams), "streams": streams, "fusion": fusion}
    path, dataset, _ = trained(network, with_nan("s"), training={"epochs": 3, "lr": 0.05})
    assert [modality.name for modality in dataset.modalities if modality.can_be_absent] == ["s"]
    return path


@pytest.fixture(scope="module")
def network(network_file):
    return nasfuse.load_network(network_file)


def test_rows_may_lack_what_training_samples_lacked(network):
    assert network.network.placeholders == {"s"}
    assert network.network.streams["s"].placeholder.shift.abs().min() > 0
    arrays = arrays_of(seed=1)
    whole = network(unlabelled(arrays))
    some = network(unlabelled(with_nan("s", seed=1)))
    assert torch.allclose(whole[~LACK], some[~LACK], atol=1e-5)
    assert not torch.isclose(whole[LACK], some[LACK], atol=1e-4).all()


def test_a_modality_whose_columns_the_data_do_not_have(network):
    data = unlabelled(arrays_of(seed=1), "s", "n_steps")
    with pytest.warns(DataWarning, match=r"^the data has no array 's' or 'n_steps'; all rows lack the modality s$"):
        without = network(data)
    all_nan = network(unlabelled(with_nan("s", rows=np.ones(60, bool), seed=1)))
    assert torch.allclose(without, all_nan, atol=1e-6)


def test_a_part_of_its_columns_is_not_enough(network):
    with pytest.raises(DataError, match=r"^the data has no array 'n_steps' \(data\.modalities\.s\.lengths\)"):
        network(unlabelled(arrays_of(), "n_steps"))


def test_other_modalities_are_needed(network):
    with pytest.raises(DataError, match=r"^the data has no array 'v' \(data\.modalities\.v\)"):
        network(unlabelled(arrays_of(), "v"))
    assert network.predictions(unlabelled(with_nan("v"))).problems.keys() == set(np.flatnonzero(LACK).tolist())
    infinite = unlabelled(with_nan("s"))
    infinite["s"][3, -1] = np.inf
    assert network.predictions(infinite).problems.keys() == {3}


def test_evaluation_of_the_same_data_counts_the_same_samples(network_file, tmp_path):
    np.savez(tmp_path / "data.npz", **with_nan("s"))
    found = evaluate_checkpoint(network_file, device=CPU, source=str(tmp_path / "data.npz"))
    assert not {"warning", "macs_note", "unusable_rows"} & found.keys()


def test_evaluation_says_why_the_macs_of_other_sequences_differ(network_file, trained, tmp_path):
    np.savez(tmp_path / "data.npz", **{**arrays_of(seed=5), "n_steps": np.full(60, 2)})
    found = evaluate_checkpoint(network_file, device=CPU, source=str(tmp_path / "data.npz"))
    assert found["macs_note"].startswith("these MACs are a mean over the sequence lengths of these samples; ")
    path, _, measured = trained({"route": ["v"], "streams": {"v": stream("mlp")}})
    found = evaluate_checkpoint(path, device=CPU, source=str(tmp_path / "data.npz"))
    assert "warning" in found and "macs_note" not in found
    assert found["macs"] == measured.points[0].macs


def test_samples_that_lack_what_the_network_does_not_read_are_the_same_data(trained, tmp_path):
    path, _, _ = trained({"route": ["v"], "streams": {"v": stream("mlp")}}, with_nan("s"))
    np.savez(tmp_path / "data.npz", **with_nan("s"))
    assert "warning" not in evaluate_checkpoint(path, device=CPU, source=str(tmp_path / "data.npz"))
    assert nasfuse.load_network(path).network.placeholders == frozenset()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A network of a text and a photo, both of which some rows of the table lack, and a folder with photos."""
    folder, rng = tmp_path_factory.mktemp("shop"), np.random.default_rng(0)
    kinds = np.arange(60) % 3
    for row, kind in enumerate(kinds):
        Image.fromarray((rng.integers(0, 60, (8, 9)) + 90 * kind).astype(np.uint8)).save(folder / f"{row}.png")
    names = np.array(["cap", "mug", "hat"])[kinds]
    table = pd.DataFrame({"title": names, "photo": [f"{row}.png" for row in range(60)], "kind": names})
    table.loc[::4, "photo"] = None
    table.loc[1::4, "title"] = None
    table.to_csv(folder / "table.csv", index=False)
    modalities = {"title": {"kind": "text"}, "photo": {"kind": "image_files", "size": 6, "channels": 1}}
    recipe = Recipe.parse(
        {
            "data": {"source": str(folder / "table.csv"), "modalities": modalities, "target": "kind"},
            "network": {
                "route": ["title", "photo"],
                "streams": {name: {"encoder": "mlp", "depth": 1, "width": 8} for name in modalities},
                "fusion": {"kind": "sum", "placement": 1, "width": 8},
            },
            "training": {"epochs": 25, "lr": 0.03, "batch_size": 16},
        }
    )
    with pytest.warns(
        DataWarning, match=r"column photo of table\.csv: 15 values are missing \(\S+ %\), the first in ro"
    ):
        Training()(recipe, seed=0, division=0, folder=folder / "out", report=lambda *_: None, weight_sources={})
    return folder, table


def test_missing_photos_and_texts(shop):
    folder, table = shop
    network = nasfuse.load_network(folder / "out" / "model.pt")
    with pytest.warns(DataWarning, match="samples without it lack the modality photo"):
        assert (network.predict(folder / "table.csv") == table["kind"]).mean() > 0.9
    only = {"title": table["title"].to_list()}
    with pytest.warns(DataWarning, match="all rows lack the modality photo"):
        found = network.predict(only)
    there = table["title"].notna().to_numpy()
    assert (found == table["kind"])[there].mean() > 0.9
    assert len(set(found[~there])) == 1
