"""Augmentation: each change alone, with nothing changed in place and draws that any process repeats."""

import pytest
import torch

from nasfuse.data import Batch
from nasfuse.errors import InvalidInputError
from nasfuse.spec.training import TrainingConfig
from nasfuse.train.augmentation import Augmentation

OFF = {"shift": 0.0, "input_noise": 0.0, "modality_dropout": 0.0, "mixup": 0.0, "ids": frozenset()}


def augmentation(**changes):
    return Augmentation(**(OFF | changes))


def image_batch(n_samples=64):
    """Images whose pixels tell their row and column."""
    pixels = torch.arange(10.0)[:, None] * 100 + torch.arange(8.0)
    return Batch({"i": pixels.expand(n_samples, 1, 10, 8).clone()}, {}, torch.arange(n_samples))


def test_switched_off_it_changes_nothing(make_batch):
    batch = make_batch(["v", "s", "i"])
    changed = augmentation().apply(batch)
    assert all(torch.equal(changed.inputs[name], batch.inputs[name]) for name in batch.inputs)
    loss = object()
    assert augmentation().mix(batch, loss) == (batch, loss)


def test_inputs_of_fixed_features_get_no_noise_and_no_shifts(make_batch):
    batch = make_batch(["v", "s"])
    changed = augmentation(shift=0.3, input_noise=1.0, fixed=frozenset({"s"})).apply(batch).inputs
    assert torch.equal(changed["s"], batch.inputs["s"])
    assert not torch.equal(changed["v"], batch.inputs["v"])


def test_the_batch_given_is_left_alone(make_batch):
    batch = make_batch(["v", "s", "i"], n_samples=8)
    copies = {name: values.clone() for name, values in batch.inputs.items()}
    strong = augmentation(shift=0.3, input_noise=1.0, modality_dropout=0.9, mixup=1.0)
    strong.mix(strong.apply(batch), lambda logits, targets: logits * targets)
    assert all(torch.equal(copies[name], batch.inputs[name]) for name in copies)


def test_a_shift_moves_whole_images_and_repeats_their_edges():
    shifted = augmentation(shift=0.25).apply(image_batch()).inputs["i"]
    offsets = set()
    for image in shifted[:, 0]:
        rows, columns = image[:, 0] // 100, image[0] % 100
        assert torch.equal(image, rows[:, None] * 100 + columns)
        moved = int(rows[5] - 5), int(columns[4] - 4)
        assert torch.equal(rows, (torch.arange(10.0) + moved[0]).clamp(0, 9))
        assert torch.equal(columns, (torch.arange(8.0) + moved[1]).clamp(0, 7))
        offsets.add(moved)
    assert {row for row, _ in offsets} == {-2, -1, 0, 1, 2}
    assert {column for _, column in offsets} == {-2, -1, 0, 1, 2}


def test_a_shift_leaves_vectors_padded_sequences_and_ids(make_batch):
    batch = make_batch(["v", "s", "q"], lengths={"s": [3, 11, 0]})
    changed = augmentation(shift=0.5, ids=frozenset("q")).apply(batch)
    assert all(torch.equal(changed.inputs[name], batch.inputs[name]) for name in batch.inputs)


def test_noise_has_its_size_and_spares_ids(make_batch):
    batch = make_batch(["s", "q"], n_samples=200)
    changed = augmentation(input_noise=0.3, ids=frozenset("q")).apply(batch)
    noise = changed.inputs["s"] - batch.inputs["s"]
    assert noise.std().item() == pytest.approx(0.3, rel=0.05)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.01)
    assert torch.equal(changed.inputs["q"], batch.inputs["q"])


def test_what_is_absent_stays_the_mean(make_batch):
    lack = torch.tensor([True, False, False])
    batch = make_batch(["v", "i"]).without("v", lack)
    changed = augmentation(input_noise=1.0, shift=0.3).apply(batch)
    assert not changed.inputs["v"][0].any()
    assert torch.equal(changed.present["v"], ~lack)


def test_draws_follow_the_order_of_the_batch():
    # The order of a set of words differs from process to process, and would make a seed worth nothing.
    names = [f"name{number}" for number in range(12)]
    batch = Batch({name: torch.zeros(2, 3) for name in names}, {}, torch.zeros(2))
    torch.manual_seed(5)
    changed = augmentation(input_noise=1.0).apply(batch)
    torch.manual_seed(5)
    assert all(torch.equal(changed.inputs[name], torch.randn(2, 3)) for name in names)


def test_a_sample_loses_each_modality_with_the_same_probability_and_never_all(make_batch):
    batch = make_batch(["v", "s", "q"], n_samples=4000)
    changed = augmentation(modality_dropout=0.6).apply(batch)
    lost = ~torch.stack([changed.present[name] for name in ("v", "s", "q")])
    counts = lost.sum(0).bincount(minlength=4) / 4000
    # Binomial, with the cases of three lost counted as two.
    assert counts.tolist() == pytest.approx([0.4**3, 3 * 0.6 * 0.4**2, 3 * 0.6**2 * 0.4 + 0.6**3, 0], abs=0.03)
    assert lost.float().mean(1).tolist() == pytest.approx([0.6 - 0.6**3 / 3] * 3, abs=0.03)
    for row, name in enumerate("vs"):
        assert torch.equal((changed.inputs[name].flatten(1) == 0).all(1), lost[row])
        assert torch.equal(changed.inputs[name][~lost[row]], batch.inputs[name][~lost[row]])
    assert torch.equal(changed.masks["q"].any(1), ~lost[2])


def test_a_sample_keeps_the_only_modality_that_it_has(make_batch):
    batch = make_batch(["v", "s"], n_samples=200)
    lack = torch.arange(200) % 2 == 0
    changed = augmentation(modality_dropout=0.9).apply(batch.without("v", lack).without("s", torch.zeros(200).bool()))
    assert not changed.present["v"][lack].any()
    assert changed.present["s"][lack].all()
    assert (changed.present["v"] | changed.present["s"]).all()
    nothing = batch.without("v", ~lack | lack).without("s", ~lack | lack)
    assert not augmentation(modality_dropout=0.9).apply(nothing).present["s"].any()


def test_a_mixed_sample_lacks_what_both_of_its_parts_lack(make_batch):
    batch = make_batch(["v"], n_samples=16).without("v", torch.arange(16) < 8)
    torch.manual_seed(3)
    mixed, _ = augmentation(mixup=0.4).mix(batch, lambda logits, targets: logits)
    torch.manual_seed(3)
    torch.distributions.Beta(0.4, 0.4).sample()
    order = torch.randperm(16)
    assert mixed.present["v"].tolist() == [row >= 8 or order[row].item() >= 8 for row in range(16)]


def test_a_single_modality_is_never_lost(make_batch):
    batch = make_batch(["v"])
    assert torch.equal(augmentation(modality_dropout=0.99).apply(batch).inputs["v"], batch.inputs["v"])


def test_mixup_mixes_inputs_and_loss_with_one_weight(make_batch):
    batch = make_batch(["v", "s"], n_samples=16, lengths={"s": torch.arange(16) % 12})
    batch = Batch(batch.inputs, batch.masks, torch.arange(16.0))
    torch.manual_seed(3)
    mixed, loss = augmentation(mixup=0.4).mix(batch, lambda logits, targets: logits * targets)
    torch.manual_seed(3)
    weight = float(torch.distributions.Beta(0.4, 0.4).sample())
    order = torch.randperm(16)
    for name, values in batch.inputs.items():
        assert torch.allclose(mixed.inputs[name], weight * values + (1 - weight) * values[order])
    mixed_targets = weight * batch.targets + (1 - weight) * batch.targets[order]
    assert torch.allclose(loss(torch.tensor(2.0), batch.targets), 2 * mixed_targets)
    assert torch.equal(mixed.masks["s"], batch.masks["s"] | batch.masks["s"][order])


def test_inputs_are_mixed_only_where_the_recipe_says(make_batch):
    batch, loss = make_batch(["v", "q"]), object()
    manifold = Augmentation.from_config(TrainingConfig(mixup=0.4, mixup_at="manifold"), ids=frozenset("q"))
    assert manifold.mix(batch, loss) == (batch, loss)
    inputs = Augmentation.from_config(TrainingConfig(mixup=0.4), ids=frozenset())
    assert inputs.mixup == 0.4


def test_mixup_of_ids_is_refused():
    with pytest.raises(
        InvalidInputError,
        match=r"^training.mixup: token ids cannot be averaged, and a, q holds them; set it to 0, or set "
        r"training.mixup_at to manifold, which averages their embeddings$",
    ):
        augmentation(mixup=0.1, ids=frozenset("qa"))


def test_jitter_changes_contrast_and_brightness_of_each_image_alone():
    torch.manual_seed(0)
    images = torch.randn(500, 3, 6, 5, dtype=torch.float64)
    changed = augmentation(jitter=0.3).apply(Batch({"i": images}, {}, torch.arange(500))).inputs["i"]
    mean, now = images.mean(dim=(2, 3)), changed.mean(dim=(2, 3))
    contrast = (changed - now[..., None, None]) / (images - mean[..., None, None])
    assert torch.allclose(contrast, contrast[:, :1, :1, :1].expand_as(contrast), atol=1e-3)
    assert 0.7 <= contrast.min() < 0.72
    assert 1.28 < contrast.max() <= 1.3
    brightness = now - mean
    assert brightness.std() == pytest.approx(0.3 * (1 + 1 / 9) ** 0.5, rel=0.1)
    assert (brightness - brightness.mean(dim=1, keepdim=True)).std() == pytest.approx(0.1 * (2 / 3) ** 0.5, rel=0.1)


def test_jitter_leaves_vectors_and_sequences_as_they_are(make_batch):
    batch = make_batch(["v", "s", "i"])
    changed = augmentation(jitter=0.5).apply(batch).inputs
    assert torch.equal(changed["v"], batch.inputs["v"])
    assert torch.equal(changed["s"], batch.inputs["s"])
    assert not torch.equal(changed["i"], batch.inputs["i"])
