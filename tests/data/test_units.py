"""Units: what a network sees does not depend on the unit and the offset of an input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.data import ModalityArrays, Scale, build_dataset
from nasfuse.errors import DataError
from nasfuse.spec.recipe import Recipe
from nasfuse.train import train_network

N = 40
SPLITS = np.array(["train"] * 24 + ["val"] * 8 + ["test"] * 8)
LABELS = np.arange(N) % 2
RNG = np.random.default_rng(1)
LENGTHS = RNG.integers(1, 6, N)
INPUTS = {
    "vector": RNG.normal(size=(N, 3)),
    "sequence": RNG.normal(size=(N, 5, 3)),
    "image": RNG.normal(size=(N, 3, 5, 6)),
}
FEATURE_AXIS = {"vector": 1, "sequence": 2, "image": 1}


def build(kind, values, **changes):
    arrays = ModalityArrays(kind, values, lengths=LENGTHS if kind == "sequence" else None)
    options = {"targets": LABELS, "task": "multiclass", "splits": SPLITS} | changes
    return build_dataset("toy", {"m": arrays}, **options)


def seen(dataset, part):
    split = dataset.split(part)
    return split.batch(torch.arange(len(split)), names=("m",)).inputs["m"].double().numpy()


def per_feature(kind, numbers):
    return np.reshape(numbers, [-1 if axis == FEATURE_AXIS[kind] else 1 for axis in range(INPUTS[kind].ndim)])


factors = st.builds(lambda sign, power: sign * 10.0**power, st.sampled_from([-1.0, 1.0]), st.floats(-200, 200))
offsets = st.floats(-1e6, 1e6)


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(sorted(INPUTS)),
    factors=st.lists(factors, min_size=3, max_size=3),
    offsets=st.lists(offsets, min_size=3, max_size=3),
)
def test_an_affine_change_of_a_feature_changes_nothing(kind, factors, offsets):
    values = INPUTS[kind]
    factor, offset = per_feature(kind, factors), per_feature(kind, np.multiply(factors, offsets))
    plain, changed = build(kind, values), build(kind, factor * values + offset)
    for part in ("train", "val", "test"):
        np.testing.assert_allclose(
            seen(changed, part), np.sign(factor) * seen(plain, part), rtol=1e-5, atol=1e-5, err_msg=part
        )


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("unit", [1e-300, 1e-13, 1.0, 1e19, 1e300])
def test_the_scale_is_that_of_the_file(kind, unit):
    offset = 5.0
    dataset = build(kind, (INPUTS[kind] + offset) * unit)
    values = INPUTS[kind][:24]
    if kind == "sequence":
        real = np.concatenate([row[:length] for row, length in zip(values, LENGTHS, strict=False)])
    else:
        real = np.moveaxis(values, FEATURE_AXIS[kind], -1).reshape(-1, 3)
    scale = dataset.scales["m"]
    assert scale.mean.dtype == scale.std.dtype == torch.float64
    np.testing.assert_allclose(scale.mean.numpy().ravel() / unit, real.mean(0) + offset, rtol=1e-6)
    np.testing.assert_allclose(scale.std.numpy().ravel() / unit, real.std(0), rtol=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        1.7e9 + 60 * RNG.normal(size=(N, 1)),
        1.7e12 + 1e3 * RNG.normal(size=(N, 1)),
        (1.7e18 + 1e9 * RNG.normal(size=(N, 1))).astype(np.int64),
        (1e-40 * RNG.normal(size=(N, 1))).astype(np.float32),
        (1e30 * RNG.normal(size=(N, 1))).astype(np.float32),
        RNG.integers(0, 2, (N, 1)).astype(bool),
        RNG.normal(size=(N, 1)).astype(np.float16),
        RNG.normal(size=(N, 1)).astype(">f8"),
    ],
    ids=["unix s", "unix ms", "unix ns", "subnormal float32", "large float32", "bool", "float16", "big-endian"],
)
def test_numbers_of_every_type_and_size_are_standardised(values):
    train = values[:24].astype(np.float64)
    expected = (values.astype(np.float64) - train.mean()) / train.std()
    got = np.concatenate([seen(build("vector", values), part) for part in ("train", "val", "test")])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("constant", [0.0, 14.0, 101.0])
def test_a_feature_that_is_constant_in_train_is_zero_everywhere(dtype, constant):
    values = np.full((N, 2), constant, dtype=dtype)
    values[:, 1] = np.arange(N)
    values[-1, 0] += 1
    values[30, 0] += 2
    dataset = build("vector", values)
    for part in ("train", "val", "test"):
        assert (seen(dataset, part)[:, 0] == 0).all()
        assert (seen(dataset, part)[:, 1] != 0).all()
    assert dataset.scales["m"].std[0, 0] == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
def test_rounding_errors_around_a_constant_are_no_feature(dtype, unit):
    values = np.full((N, 1), 14.62 * unit, dtype=dtype)
    values[::2] = np.nextafter(values[::2], dtype(np.inf))
    values[-1] *= 1.001
    dataset = build("vector", values)
    assert all((seen(dataset, part) == 0).all() for part in ("train", "val", "test"))


def test_a_huge_value_in_val_leaves_the_others_their_precision():
    values = RNG.normal(size=(N, 1))
    values[30] = 1e12
    train = values[:24]
    np.testing.assert_allclose(seen(build("vector", values), "train"), (train - train.mean()) / train.std(), rtol=1e-4)


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_value_beyond_every_scale_is_refused(part):
    values = RNG.normal(size=(N, 2))
    values[{"val": 30, "test": 39}[part], 1] = 1e300
    with pytest.raises(DataError, match=r"^toy: modality m: feature 1 holds a value more than 1e\+30 standard dev"):
        build("vector", values)


def test_a_sequence_without_a_real_step_in_train_is_zero():
    lengths = np.where(SPLITS == "train", 0, 5)
    arrays = ModalityArrays("sequence", INPUTS["sequence"], lengths=lengths)
    dataset = build_dataset("toy", {"m": arrays}, targets=LABELS, task="multiclass", splits=SPLITS)
    assert all((seen(dataset, part) == 0).all() for part in ("train", "val", "test"))


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_given_scales_replace_the_statistics(kind, dtype):
    values = (100 + 20 * INPUTS[kind]).astype(dtype)
    scales = build(kind, values).scales
    other = (50 + 30 * RNG.normal(size=values.shape)).clip(0, 255).astype(dtype)
    dataset = build(kind, other, scales=scales)
    scale = scales["m"]
    expected = (other.astype(np.float64) - scale.mean.numpy()) / scale.std.numpy()
    if kind == "sequence":
        expected[np.arange(5) >= LENGTHS[:, None]] = 0
    got = np.concatenate([seen(dataset, part) for part in ("train", "val", "test")])
    np.testing.assert_allclose(got, expected[:, : got.shape[1]], rtol=1e-5, atol=1e-5)
    assert torch.equal(dataset.scales["m"].mean, scale.mean)
    assert torch.equal(dataset.scales["m"].std, scale.std)


def test_the_own_scales_give_the_same_batches_and_a_constant_stays_zero():
    values = INPUTS["vector"] * 1e-13 + 1e-9
    values[:, 1] = 7.0
    own = build("vector", values)
    given = build("vector", values, scales=own.scales)
    for part in ("train", "val", "test"):
        np.testing.assert_allclose(seen(given, part), seen(own, part), rtol=1e-5, atol=1e-5)
        assert (seen(given, part)[:, 1] == 0).all()


def test_scales_are_plain_tensors_for_a_checkpoint(tmp_path):
    scales = build("image", INPUTS["image"]).scales
    torch.save({key: {"mean": one.mean, "std": one.std} for key, one in scales.items()}, tmp_path / "s.pt")
    read = {key: Scale(**one) for key, one in torch.load(tmp_path / "s.pt", weights_only=True).items()}
    assert torch.equal(read["m"].std, scales["m"].std)


def test_scales_of_other_features_are_refused():
    scales = build("vector", INPUTS["vector"]).scales
    with pytest.raises(DataError, match=r"^toy: modality m has 2 features .*; give the scale of the same features$"):
        build("vector", INPUTS["vector"][:, :2], scales=scales)
    with pytest.raises(DataError, match=r"^toy: the given scales lack modality 'm'; Known: n$"):
        build("vector", INPUTS["vector"], scales={"n": scales["m"]})


def test_a_training_does_not_depend_on_units():
    labels = RNG.integers(0, 2, N)
    vector = RNG.normal(size=(N, 3)) + labels[:, None]
    sequence = RNG.normal(size=(N, 5, 3)) + labels[:, None, None]
    recipe = Recipe.parse(
        {
            "data": {"source": "toy"},
            "network": {
                "route": ["v", "s"],
                "streams": {"v": {"encoder": "mlp", "width": 8}, "s": {"encoder": "conv", "width": 8}},
                "fusion": {"kind": "concat", "width": 8},
            },
            "training": {"epochs": 3, "batch_size": 8},
        }
    )

    def curve(factor, offset):
        dataset = build_dataset(
            "toy",
            {
                "v": ModalityArrays("vector", factor * vector + offset),
                "s": ModalityArrays("sequence", factor * sequence + offset, lengths=LENGTHS),
            },
            targets=labels,
            task="multiclass",
            splits=SPLITS,
        )
        trained = train_network(recipe, dataset, seed=0, device=torch.device("cpu"))
        return [(epoch.val_metric, epoch.val_loss) for epoch in trained.curve]

    plain = curve(1.0, 0.0)
    for factor, offset in ((1e-13, 0.0), (1e19, 1e23), (60.0, 1.7e7)):
        np.testing.assert_allclose(curve(factor, offset), plain, rtol=1e-3)
