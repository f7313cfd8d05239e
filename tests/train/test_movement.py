"""Movement of images and label maps: positions by hand, and one draw for all that is registered."""

import pytest
import torch

from nasfuse.data import Batch
from nasfuse.domain.task import VOID
from nasfuse.errors import InvalidInputError
from nasfuse.train.augmentation import Augmentation
from nasfuse.train.movement import Movement

CPU = torch.device("cpu")
SIZE = (6, 8)


def draw(n_samples=64, *, size=SIZE, **changes):
    return Movement.draw(n_samples, size=size, device=CPU, **({"shift": 0.0, "scale": 1.0, "flip": 0.0} | changes))


def pixels(n_samples=64, size=SIZE):
    """Images whose values are their positions: 10 y + x."""
    values = 10.0 * torch.arange(size[0])[:, None] + torch.arange(size[1])
    return values.expand(n_samples, 1, *size).clone()


def moved_by(x, y, *, zoom=1.0, mirrored=False):
    return Movement(torch.tensor([[x, y]]), torch.tensor([zoom]), torch.tensor([mirrored]))


class TestByHand:
    def test_one_pixel_to_the_left(self):
        """The window begins one pixel to the right: 2 / 8 of half the width."""
        movement = moved_by(2 / 8, 0.0)
        image = movement.of_images(pixels(1))[0, 0, 0]
        assert image.tolist() == pytest.approx([1, 2, 3, 4, 5, 6, 7, 7], abs=1e-4), "the edge is repeated"
        labels = movement.of_labels(pixels(1)[:, 0].to(torch.uint8))[0, 0]
        assert labels.tolist() == [1, 2, 3, 4, 5, 6, 7, VOID], "what is outside is not known"

    def test_one_pixel_down(self):
        labels = moved_by(0.0, -2 / 6).of_labels(pixels(1)[:, 0].to(torch.uint8))[0]
        assert labels[:, 2].tolist() == [VOID, 2, 12, 22, 32, 42]

    def test_a_mirror_is_exact(self):
        movement = moved_by(0.0, 0.0, mirrored=True)
        assert torch.equal(movement.of_images(pixels(1)), pixels(1).flip(-1))
        labels = torch.randint(256, (1, *SIZE)).to(torch.uint8)
        assert torch.equal(movement.of_labels(labels), labels.flip(-1))

    def test_a_zoom_of_two_shows_a_quarter(self):
        """A window of 4 of 8 pixels, whose output pixels lie at 2 + (j + .5) / 2 - .5."""
        movement = moved_by(0.0, 0.0, zoom=2.0)
        row = movement.of_images(pixels(1))[0, 0, :, :] - movement.of_images(pixels(1))[0, 0, :, :1]
        assert row[0].tolist() == pytest.approx([0.5 * j for j in range(8)], abs=1e-4)
        assert movement.of_images(pixels(1))[0, 0, 0, 0].item() == pytest.approx(10 * 1.25 + 1.75, abs=1e-4)
        labels = movement.of_labels(pixels(1)[:, 0].to(torch.uint8))[0]
        assert labels[0].tolist() == [12, 12, 13, 13, 14, 14, 15, 15]

    def test_void_stays_void(self):
        labels = torch.full((1, *SIZE), VOID).to(torch.uint8)
        assert (moved_by(0.3, 0.2, zoom=1.3).of_labels(labels) == VOID).all()


class TestDraws:
    def test_shifts_are_whole_pixels_of_every_size_up_to_the_largest(self):
        movement = draw(400, shift=0.25)  # two pixels of eight, two of six
        offsets = movement.centre * torch.tensor([8 / 2, 6 / 2])
        assert torch.allclose(offsets, offsets.round(), atol=1e-5)
        assert (
            set(offsets[:, 0].round().int().tolist()) == set(offsets[:, 1].round().int().tolist()) == {-2, -1, 0, 1, 2}
        )

    def test_zooms_are_uniform_and_windows_stay_inside(self):
        movement = draw(4000, scale=1.4)
        assert movement.zoom.min() >= 1
        assert movement.zoom.max() <= 1.4
        assert movement.zoom.mean().item() == pytest.approx(1.2, abs=0.01)
        assert (movement.centre.abs() <= (1 - 1 / movement.zoom)[:, None] + 1e-6).all()
        labels = torch.ones(4000, *SIZE).to(torch.uint8)
        assert (movement.of_labels(labels) == 1).all(), "nothing outside is seen"

    def test_a_share_is_mirrored(self):
        assert draw(4000, flip=0.3).mirrored.double().mean().item() == pytest.approx(0.3, abs=0.03)


def augmentation(**changes):
    off = {"shift": 0.0, "input_noise": 0.0, "modality_dropout": 0.0, "mixup": 0.0}
    return Augmentation(**(off | changes))


def registered(n_samples=64):
    """Two images of one scene, the second at twice the resolution, and labels that say where a pixel was."""
    fine = pixels(n_samples, (12, 16))
    return Batch({"a": pixels(n_samples), "b": fine}, {}, pixels(n_samples)[:, 0].to(torch.uint8))


class TestAligned:
    def test_images_and_labels_move_together(self):
        changed = augmentation(shift=0.25, flip=0.5, aligned=("a", "b")).apply(registered())
        known = changed.targets != VOID
        assert 0 < known.float().mean() < 1
        assert torch.allclose(changed.inputs["a"][:, 0][known], changed.targets[known].float(), atol=1e-3)
        # a pixel of `a` lies between four of `b`, at 2 y + 1/2 and 2 x + 1/2
        between = torch.nn.functional.avg_pool2d(changed.inputs["b"], 2)[:, 0]
        assert torch.allclose(between[known], 2 * changed.targets[known].float() + 5.5, atol=1e-3)

    def test_a_zoom_keeps_labels_within_a_pixel_of_their_images(self):
        changed = augmentation(scale=2.0, flip=0.5, aligned=("a", "b")).apply(registered())
        values, labels = changed.inputs["a"][:, 0], changed.targets.float()
        rows = ((values - labels) / 10).round()  # at most half a row apart, and half a column
        assert ((values - labels).abs() <= 5.5 + 1e-3).all()
        assert (rows.abs() <= 1).all()
        assert (changed.targets != VOID).all()

    def test_images_that_are_not_aligned_move_by_themselves(self):
        batch = Batch({"a": pixels(), "b": pixels()}, {}, torch.zeros(64).long())
        together = augmentation(flip=0.5, scale=1.5, shift=0.2, aligned=("a", "b")).apply(batch).inputs
        assert torch.equal(together["a"], together["b"])
        alone = augmentation(flip=0.5, scale=1.5, shift=0.2).apply(batch).inputs
        assert not torch.equal(alone["a"], alone["b"])

    def test_a_seed_decides_everything(self):
        found = []
        for _ in range(2):
            torch.manual_seed(4)
            found.append(augmentation(flip=0.5, scale=1.5, shift=0.2, aligned=("a", "b")).apply(registered()))
        assert torch.equal(found[0].inputs["b"], found[1].inputs["b"])
        assert torch.equal(found[0].targets, found[1].targets)

    def test_fixed_features_cannot_move_with_others(self):
        with pytest.raises(InvalidInputError, match=r"data\.aligned: b has an encoder with fixed features"):
            augmentation(flip=0.5, aligned=("a", "b"), fixed=frozenset("b"))
        augmentation(aligned=("a", "b"), fixed=frozenset("b"))

    def test_mixed_label_maps_are_both_in_the_loss(self):
        batch = registered(8)
        torch.manual_seed(3)
        mixed, loss = augmentation(mixup=0.4).mix(batch, lambda logits, targets: targets.double().mean() * logits)
        torch.manual_seed(3)
        weight = float(torch.distributions.Beta(0.4, 0.4).sample())
        order = torch.randperm(8)
        both = weight * batch.targets.double().mean() + (1 - weight) * batch.targets[order].double().mean()
        assert torch.isclose(loss(torch.tensor(1.0), mixed.targets), both)
