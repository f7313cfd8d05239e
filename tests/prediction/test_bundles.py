"""Bundles predict from raw data what the network of the file predicts, without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import nasfuse
from nasfuse.errors import CheckpointError, DataError, MissingFileError
from nasfuse.export.bundle import deployment_of, write_files
from nasfuse.export.deployable import network_in_file
from nasfuse.runtime import load
from tests.prediction.conftest import arrays_of

#: Packages that a bundle must not need.
HEAVY = ("torch", "pydantic", "pandas", "yaml", "sklearn", "scipy", "optuna", "ray", "typer", "rich", "onnx")

RUN = """
import json, sys
import numpy as np
sys.meta_path.insert(0, type("Block", (), {"find_spec": staticmethod(block)}))
from nasfuse.runtime import load
found = load(sys.argv[1]).predict(dict(np.load(sys.argv[2])))
print(json.dumps({"named": found.named.tolist(), "probabilities": found.probabilities.tolist()}))
print(json.dumps(sorted(name for name in sys.modules if name.startswith("nasfuse"))))
"""
BLOCK = f"""
def block(name, path=None, target=None):
    if name.split(".")[0] in {HEAVY!r}:
        raise ImportError(f"{{name}} is blocked")
"""


def unlabelled():
    return {name: values for name, values in arrays_of(seed=1).items() if name != "y"}


@pytest.mark.parametrize("name", ["static", "routed", "sequential"])
def test_predictions_from_raw_data(request, name):
    path = request.getfixturevalue(name)[0]
    table = nasfuse.load_network(path).predict_table(unlabelled())
    found = deployment_of(network_in_file(path, point=0)).bundle().predict(unlabelled())
    assert found.named.tolist() == table["prediction"].tolist()
    tolerance = 1e-2 if "steps" in table else 1e-4  # two solutions at the tolerance of the solver
    assert np.allclose(found.probabilities, table.filter(like="probability").to_numpy(), atol=tolerance)
    assert (None if found.routes is None else list(found.routes)) == (
        list(table["route"]) if "route" in table else None
    )
    if found.n_steps is not None:
        assert (found.n_steps == table["steps"]).mean() > 0.95


@pytest.fixture(scope="module")
def folder(static, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "static"
    deployment = deployment_of(network_in_file(static[0], point=0))
    write_files(folder, deployment.manifest, deployment.graphs)
    return folder


def test_a_bundle_needs_numpy_and_onnxruntime_alone(static, folder, tmp_path):
    np.savez(tmp_path / "new.npz", **unlabelled())
    root = Path(nasfuse.__file__).parents[1]
    command = [sys.executable, "-c", BLOCK + RUN, str(folder), str(tmp_path / "new.npz")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, modules = map(json.loads, done.stdout.splitlines())
    assert {one.split(".")[1] for one in modules if "." in one} == {"domain", "errors", "runtime"}
    network = nasfuse.load_network(static[0])
    assert found["named"] == network.predict(unlabelled()).tolist()
    assert np.allclose(found["probabilities"], network.predict_proba(unlabelled()), atol=1e-4)


class TestData:
    """What a bundle accepts, and the sentences with which it refuses the rest."""

    @pytest.fixture(scope="class")
    @staticmethod
    def bundle(folder):
        return load(folder)

    def test_images_of_channels_first_and_samples_one_by_one(self, bundle):
        arrays = unlabelled()
        whole = bundle.predict(arrays).probabilities
        images = arrays.pop("i")[arrays.pop("which")]
        arrays["i"] = images.transpose(0, 3, 1, 2)
        assert np.allclose(bundle.predict(arrays).probabilities, whole, atol=1e-6)
        one = {name: values[7:8] for name, values in arrays.items()}
        assert np.allclose(bundle.predict(one).probabilities, whole[7:8], atol=1e-5)

    def test_padding_is_ignored(self, bundle):
        arrays = unlabelled()
        whole = bundle.predict(arrays).probabilities
        arrays["s"] = np.where(np.arange(7)[:, None] < 7 - arrays["n_steps"][:, None, None], np.nan, arrays["s"])
        assert np.allclose(bundle.predict(arrays).probabilities, whole, atol=1e-6)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"v": None}, "the data have no 'v'; they have 's', 'n_steps', 'q', 'i', 'which'"),
            ({"v": np.zeros((60, 3))}, "modality v has samples of shape 3, and the network was trained with 4; give"),
            ({"v": np.zeros((3, 4))}, "modality s has 60 rows, and modality v has 3; give all the same rows"),
            ({"v": np.full((60, 4), np.inf)}, "modality v, row 0: its values must be finite numbers; correct or"),
            ({"q": np.full((60, 5), 9)}, "modality q, row 0: its values must be ids from 0 to 8; correct or remove"),
            ({"n_steps": np.full(60, 8)}, "modality s must have a length from 0 to 7 for each of its 60 samples"),
            ({"v": np.full((60, 4), "a")}, "modality v must hold numbers, got <U1; encode it first"),
        ],
    )
    def test_refusals(self, bundle, change, message):
        arrays = {name: values for name, values in {**unlabelled(), **change}.items() if values is not None}
        with pytest.raises(DataError, match=message):
            bundle.predict(arrays)


class TestFolders:
    def test_no_bundle(self, tmp_path):
        with pytest.raises(MissingFileError, match=r"has no manifest\.json, so it is no bundle"):
            load(tmp_path)

    def test_a_damaged_manifest(self, tmp_path):
        (tmp_path / "manifest.json").write_text("{")
        with pytest.raises(CheckpointError, match=r"manifest\.json is damaged; export the network again"):
            load(tmp_path)

    def test_another_format(self, tmp_path):
        (tmp_path / "manifest.json").write_text('{"format": 99}')
        with pytest.raises(CheckpointError, match="has the bundle format 99, this version reads 1; export it again"):
            load(tmp_path)

    def test_a_damaged_graph(self, folder, tmp_path):
        (tmp_path / "manifest.json").write_text((folder / "manifest.json").read_text())
        (tmp_path / "network.onnx").write_bytes(b"no graph")
        with pytest.raises(CheckpointError, match=r"network\.onnx cannot be run"):
            load(tmp_path)


def test_absent_modalities_are_what_stands_for_them(trained):
    arrays = arrays_of()
    arrays["v"] = arrays["v"].astype(float)
    arrays["v"][::4] = np.nan
    streams = {"v": {"encoder": "mlp", "width": 4}, "s": {"encoder": "conv", "width": 4}}
    fusion = {"kind": "sum", "width": 4}
    path, _, _ = trained(
        {"route": ["v", "s"], "streams": streams, "fusion": fusion},
        arrays,
        modalities={"v": {"kind": "vector"}, "s": {"kind": "sequence", "lengths": "n_steps"}},
    )
    saved = network_in_file(path, point=0)
    with torch.no_grad():
        saved.network.streams["v"].placeholder.shift += 0.5
    new = {"v": arrays["v"], "s": arrays["s"], "n_steps": arrays["n_steps"]}
    bundle = deployment_of(saved).bundle()
    expected = nasfuse.TrainedNetwork(saved).predict_proba(new)
    assert np.allclose(bundle.predict(new).probabilities, expected, atol=1e-4)
    without = {name: values for name, values in new.items() if name != "v"}
    whole = nasfuse.TrainedNetwork(saved).predict_proba({**new, "v": np.full_like(arrays["v"], np.nan)})
    assert np.allclose(bundle.predict(without).probabilities, whole, atol=1e-4)
    ragged = {**without, "s": [[[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]]]}
    with pytest.raises(
        DataError, match=r"^s has rows of different lengths \(modality s\); give one array, filled up at"
    ):
        bundle.predict(ragged)
