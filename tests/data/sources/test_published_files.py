"""Studies of published data sets on small files in the layout of their authors: split, shapes, and one forward pass."""

import pickle

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from nasfuse.data.sources.registry import load_dataset
from nasfuse.experiment.run import make_space
from nasfuse.nn import build_network
from nasfuse.spec.shipped import shipped_files
from nasfuse.spec.study import StudyConfig

#: Rows of train, val and test of every file; without a val, a fifth of train becomes val.
ROWS = {"train": 40, "val": 10, "test": 12}
CLASSES = {"real": lambda rng, n: rng.uniform(-3, 3, n), "signs": lambda rng, n: np.where(np.arange(n) % 2, 1.0, -1.0)}


def affect(path, *, widths, labels, steps=(50, 50, 50)):
    """A pickle in the layout of MultiBench: padded in front, (n, 1, 1) labels, `steps` of text, audio and vision."""
    rng, content = np.random.default_rng(0), {}
    for word, n_rows in {"train": ROWS["train"], "valid": ROWS["val"], "test": ROWS["test"]}.items():
        part = {}
        starts = rng.integers(0, 40, n_rows)
        for name, width, n_steps in zip(("text", "audio", "vision"), widths, steps, strict=True):
            values = rng.normal(size=(n_rows, n_steps, width)).astype(np.float32)
            part[name] = np.where(np.arange(n_steps)[:, None] < starts[:, None, None] * n_steps // 50, 0, values)
        part["labels"] = CLASSES[labels](rng, n_rows).reshape(-1, 1, 1)
        part["id"] = np.array([[f"video{row}".encode(), b"0.1", b"2.3"] for row in range(n_rows)])
        content[word] = part
    path.write_bytes(pickle.dumps(content, 2))


def film(path):
    """An HDF5 file in the layout of MM-IMDB, its rows in the order of the splits."""
    rng, n_rows = np.random.default_rng(0), sum(ROWS.values())
    with h5py.File(path, "w") as file:
        file["features"] = rng.normal(size=(n_rows, 300))
        file["vgg_features"] = rng.normal(size=(n_rows, 4096)).astype(np.float32)
        file["images"] = np.zeros((n_rows, 3, 4, 4), np.float32)
        file["genres"] = rng.integers(0, 2, (n_rows, 23)).astype(np.int32)
        file["imdb_ids"] = [f"tt{row:07d}".encode() for row in range(n_rows)]


def digits(path):
    """A folder in the layout of AV-MNIST; the last rows of train are val."""
    rng = np.random.default_rng(0)
    for folder in ("image", "audio"):
        (path / folder).mkdir(parents=True)
    for word, n_rows in {"train": ROWS["train"] + ROWS["val"], "test": ROWS["test"]}.items():
        np.save(path / "image" / f"{word}_data.npy", rng.integers(0, 256, (n_rows, 784)).astype(np.uint8))
        np.save(path / "audio" / f"{word}_data.npy", rng.integers(0, 256, (n_rows, 112, 112)).astype(np.float32))
        np.save(path / f"{word}_labels.npy", np.arange(n_rows) % 10)


def omics(path, *, widths, n_classes):
    """A folder in the layout of MOGONET."""
    rng = np.random.default_rng(0)
    path.mkdir()
    for part, n_rows in {"tr": ROWS["train"] + ROWS["val"], "te": ROWS["test"]}.items():
        for view, width in enumerate(widths, start=1):
            np.savetxt(path / f"{view}_{part}.csv", rng.uniform(size=(n_rows, width)), delimiter=",")
        np.savetxt(path / f"labels_{part}.csv", np.arange(n_rows) % n_classes, delimiter=",")


def sounds(path):
    """A folder with the files of SFT's VGG-Sound features."""
    rng = np.random.default_rng(0)
    path.mkdir()
    for word, n_rows in {"train": ROWS["train"] + ROWS["val"], "test": ROWS["test"]}.items():
        with h5py.File(path / f"{word}.h5", "w") as file:
            for name, shape in {"rgb": (38, 1024), "flow": (38, 1024), "spect": (1200, 128)}.items():
                file[name] = rng.normal(size=(n_rows, *shape)).astype(np.float32)
            file["labels"] = np.arange(n_rows) % 10
            file["class_name"] = [f"class {number}" for number in range(10)]


def rooms(path):
    """A folder in the layout of NYU Depth V2, of small images; numbers of the samples go on in test."""
    rng, first = np.random.default_rng(0), 1
    for word, n_rows in {"train": ROWS["train"] + ROWS["val"], "test": ROWS["test"]}.items():
        numbers = [f"{number:04d}" for number in range(first, first + n_rows)]
        for number in numbers:
            pixels = {
                "rgb": rng.integers(0, 256, (12, 16, 3)).astype(np.uint8),
                "depth": rng.integers(700, 9000, (12, 16)).astype(np.uint16),
                "labels_13": rng.integers(0, 14, (12, 16)).astype(np.uint8),
                "labels_40": rng.integers(0, 41, (12, 16)).astype(np.uint8),
            }
            for folder, values in pixels.items():
                (path / word / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(path / word / folder / f"{number}.png")
        (path / f"{word}.txt").write_text("\n".join(numbers))
        first += n_rows


#: By study: how its file is written, the shapes of its modalities, and the number of outputs.
PUBLISHED = {
    "mosi": (lambda path: affect(path, widths=(300, 5, 20), labels="real"), [(50, 300), (50, 5), (50, 20)], 1),
    "mosei": (lambda path: affect(path, widths=(300, 74, 35), labels="real"), [(50, 300), (50, 74), (50, 35)], 1),
    "mosei_unaligned": (
        lambda path: affect(path, widths=(300, 74, 35), labels="real", steps=(50, 500, 500)),
        [(50, 300), (500, 74), (500, 35)],
        1,
    ),
    "ur_funny": (lambda path: affect(path, widths=(300, 81, 371), labels="signs"), [(50, 300), (50, 81), (50, 371)], 2),
    "mustard": (lambda path: affect(path, widths=(300, 81, 371), labels="signs"), [(50, 300), (50, 81), (50, 371)], 2),
    "mm_imdb": (film, [(300,), (4096,)], 23),
    "avmnist": (digits, [(1, 28, 28), (1, 112, 112)], 10),
    "brca": (lambda path: omics(path, widths=(1000, 1000, 503), n_classes=5), [(1000,), (1000,), (503,)], 5),
    "rosmap": (lambda path: omics(path, widths=(200, 200, 200), n_classes=2), [(200,)] * 3, 2),
    "vggsound": (sounds, [(38, 1024), (38, 1024), (1200, 128)], 10),
    "nyuv2": (rooms, [(3, 120, 160), (1, 120, 160)], 40),
}


@pytest.fixture(params=PUBLISHED)
def published(request, tmp_path, monkeypatch):
    """A study with its file in the data folder; numbers of rows are those of the small file."""
    monkeypatch.setenv("NASFUSE_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    study = StudyConfig.load(shipped_files("studies")[request.param])
    write, shapes, n_outputs = PUBLISHED[request.param]
    write(tmp_path / study.data.source)
    if not isinstance(study.data.split, str):
        data = study.data.to_plain() | {"split": ROWS}
        study = study.model_copy(update={"data": type(study.data).parse(data)})
    return study, shapes, n_outputs


@pytest.mark.filterwarnings("ignore::nasfuse.errors.DataWarning")
def test_a_study_reads_the_file_of_its_authors(published):
    study, shapes, n_outputs = published
    dataset = load_dataset(study.data)
    assert [len(dataset.split(part)) for part in ROWS] == list(ROWS.values())
    assert [modality.shape for modality in dataset.modalities] == shapes
    assert dataset.task.n_outputs == n_outputs
    space = make_space(study, dataset)
    names = tuple(modality.name for modality in dataset.modalities)
    designs = [
        space.recipe(space.baselines[name])
        for name in ("linear, late fusion", "every stage (ESANet)")
        if name in space.baselines
    ]
    recipe = next(one for one in designs if set(one.network.streams) == set(names))
    network = build_network(recipe.network, dataset.modalities, dataset.task).eval()
    batch = dataset.train.batch(torch.arange(4), names=names)
    with torch.no_grad():
        outputs = network(batch.inputs, batch.masks)
    assert outputs.shape == (4, n_outputs, *(dataset.task.size or ()))
    assert torch.isfinite(outputs).all()
    if study.data.source.endswith(".pkl"):
        assert all(modality.padding == "left" for modality in dataset.modalities)
        assert all(dataset.train.lengths(name).min() < shape[0] for name, shape in zip(names, shapes, strict=True))
