"""Data sets with a label for every pixel: targets, types in memory, divisions, and sharing between processes."""

import numpy as np
import pytest
import torch

from nasfuse.data import load_dataset, load_table
from nasfuse.data.columns.image_files import ImageFiles
from nasfuse.data.mapped_table import map_table, share_table
from nasfuse.data.raw_table import RawTable
from nasfuse.domain.modality import Task
from nasfuse.errors import DataError
from nasfuse.spec.data import DataConfig, expand_modalities
from nasfuse.spec.modality import ImageFilesConfig
from tests.dense_scenes import CLASSES, HEIGHT, WIDTH, data_block, scenes, write_folder

pytest.importorskip("nasfuse.tasks.segmentation")


def written(tmp_path, arrays, **more):
    np.savez(tmp_path / "scenes.npz", **arrays)
    block = data_block(tmp_path / "scenes.npz", **more)
    return DataConfig.parse(expand_modalities({"data": block})["data"])


def test_targets_are_class_numbers_of_one_byte(tmp_path):
    arrays = scenes()
    dataset = load_dataset(written(tmp_path, arrays))
    assert (dataset.task, dataset.class_names) == (Task("segmentation", 3, (HEIGHT, WIDTH)), CLASSES)
    targets = dataset.train.targets
    assert (targets.dtype, targets.numpy().tolist()) == (torch.uint8, arrays["y"][arrays["split"] == "train"].tolist())
    assert dataset.val.rows.tolist() == np.flatnonzero(arrays["split"] == "val").tolist()
    assert dataset.val.of_samples(torch.tensor([1])).rows.tolist() == [8]
    assert dataset.train.batch(torch.tensor([2, 0]), names=("rgb",)).targets.equal(targets[[2, 0]])


def test_the_list_of_classes_counts_those_that_do_not_occur(tmp_path):
    dataset = load_dataset(written(tmp_path, scenes(), classes=[*CLASSES, "bike"]))
    assert dataset.task.n_outputs == 4


@pytest.mark.parametrize(("dtype", "factor"), [("uint8", 1), ("uint16", 250)])
def test_images_keep_their_type_in_memory_and_are_standardised_in_batches(tmp_path, dtype, factor):
    arrays = scenes()
    arrays["thermal"] = arrays["thermal"].astype(dtype) * factor
    dataset = load_dataset(written(tmp_path, arrays))
    values = dataset.train.columns["thermal"].values
    assert (values.dtype, values.nbytes) == (getattr(torch, dtype), arrays["thermal"].nbytes)
    rows = arrays["split"] == "train"
    of_train = arrays["thermal"][rows].astype(np.float64)
    expected = (of_train - of_train.mean()) / of_train.std()
    batch = dataset.train.batch(torch.arange(int(rows.sum())), names=("thermal",)).inputs["thermal"]
    np.testing.assert_allclose(batch[:, 0].numpy(), expected, atol=1e-5)
    assert float(dataset.scales["thermal"].mean) == pytest.approx(of_train.mean())


def test_images_of_another_size_than_the_label_maps_are_refused(tmp_path):
    arrays = scenes()
    arrays["thermal"] = arrays["thermal"][:, ::2, ::2]
    match = r"modality thermal has images of 12 x 16 pixels and the label maps have 24 x 32; they must show the same"
    with pytest.raises(DataError, match=match):
        load_dataset(written(tmp_path, arrays))


def test_pairs_that_are_missing_are_refused(tmp_path):
    arrays = scenes()
    arrays["thermal"] = arrays["thermal"][:-1]
    with pytest.raises(DataError, match=r"modality thermal has 19 rows but there are 20 labels"):
        load_dataset(written(tmp_path, arrays))


def test_divisions_folds_and_fingerprints(tmp_path):
    arrays = scenes()
    del arrays["split"]
    arrays["street"] = np.arange(20) // 2
    table = load_table(written(tmp_path, arrays, group="street"))
    one, other = table.divided(0), table.divided(1)
    streets = [set((part.rows // 2).tolist()) for part in (one.train, one.val, one.test)]
    assert sum(len(each) for each in streets) == len(set.union(*streets)) == 10
    assert one.content_fingerprint == other.content_fingerprint
    arrays["y"][0, 5, 5] = 2 - arrays["y"][0, 5, 5]
    assert (
        load_table(written(tmp_path, arrays, group="street")).divided(0).content_fingerprint != one.content_fingerprint
    )
    folds = [load_table(written(tmp_path, arrays)).fold(number, n_folds=4) for number in range(4)]
    assert sorted(row for fold in folds for row in fold.val.rows.tolist()) == sorted(
        [*folds[0].train.rows.tolist(), *folds[0].val.rows.tolist()]
    )


def test_label_maps_are_shared_like_inputs(tmp_path):
    arrays = scenes()
    arrays["split"] = np.sort(arrays["split"])[::-1]  # samples of a split follow one another
    table = load_table(written(tmp_path, arrays))
    before = table.divided(0)
    share_table(table, tmp_path / "shared")
    mapped = map_table(tmp_path / "shared")
    after = mapped.divided(0)
    assert after.fingerprint == before.fingerprint
    assert after.train.targets.equal(before.train.targets)
    start, stop = mapped.targets.data_ptr(), mapped.targets.data_ptr() + mapped.targets.nbytes
    assert start <= after.train.targets.data_ptr() < stop, "a view of the mapped file"
    assert (tmp_path / "shared" / "table.pkl").stat().st_size < arrays["y"].nbytes


def test_depth_of_16_bits_is_read_from_files_without_loss(tmp_path):
    arrays = scenes(5)
    write_folder(tmp_path, arrays)
    paths = np.array([f"{word}/thermal/{row:04d}.png" for row, word in enumerate(arrays["split"])], dtype=object)
    raw = RawTable("t", "t.csv", {"thermal": paths}, 5, tmp_path)
    config = ImageFilesConfig(kind="image_files", size=(HEIGHT, WIDTH), channels=1)
    fitted = ImageFiles.fit("thermal", config, raw, np.arange(5))
    values = ImageFiles.from_state(fitted.state()).read(raw).arrays.values
    assert (values.dtype, values[..., 0].tolist()) == (np.uint16, (arrays["thermal"].astype(int) * 256).tolist())
    raw.columns["thermal"][1] = f"{arrays['split'][1]}/labels/0001.png"
    problem = fitted.read(raw).problems[0]
    assert "it has 8 bits per value, and the training images have 16" in problem.message
