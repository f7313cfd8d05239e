"""Segmentation: checks of label maps, class weights by hand, and digests against all pixels in memory."""

import numpy as np
import pytest
import torch

from nasfuse.domain.task import VOID
from nasfuse.errors import DataError, DataWarning
from nasfuse.tasks import task_kind
from nasfuse.tasks.pixel_digest import PixelDigest

KIND = task_kind("segmentation")


def labels(*rows):
    """One label map per argument, of one row."""
    return torch.tensor(rows).to(torch.uint8)[:, None]


class TestChecks:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16])
    def test_maps_become_uint8(self, dtype):
        targets, n_classes = KIND.check_targets("d", np.array([[[0, 3], [255, 1]]], dtype))
        assert (targets.dtype, targets.tolist(), n_classes) == (torch.uint8, [[[0, 3], [255, 1]]], 4)

    @pytest.mark.parametrize(
        ("targets", "match"),
        [
            (np.zeros((3, 4), int), r"^d must be \(n, H, W\) integers for segmentation, got int64 of shape \(3, 4\)$"),
            (np.zeros((3, 4, 4)), r"got float64"),
            (np.array([[[0, 1]], [[2, 300]]]), r"from 0 to 254, or 255 for pixels without a label, got 300 in row 1"),
            (np.array([[[-1, 1]]]), r"got -1 in row 0; renumber them"),
            (np.full((2, 2, 2), 255), r"d are 255 everywhere, so no pixel has a label; there is nothing to learn"),
            (np.full((2, 2, 2), 4), r"d hold one class only, got 4 everywhere; there is nothing to learn"),
        ],
    )
    def test_others_are_refused(self, targets, match):
        with pytest.raises(DataError, match=match):
            KIND.check_targets("d", targets)

    def test_classes_without_a_training_pixel_are_named(self):
        targets = labels([0, 1, 2], [2, 3, VOID])
        with pytest.warns(DataWarning, match=r"^d: a class without a training pixel is never predicted: fence$"):
            KIND.check_training_targets("d", targets, torch.tensor([0]), names=["road", "car", "sky", "fence"])
        with pytest.raises(DataError, match="no pixel of the training samples has a label"):
            KIND.check_training_targets("d", torch.full_like(targets, VOID), torch.tensor([0]))

    def test_shares_of_classes_are_described(self):
        found = KIND.describe(labels([0, 0, 0, 1], [VOID, VOID, VOID, VOID]), 2)
        assert found["classes"] == "25.00% to 75.00% of the labelled training pixels each"
        assert found["pixels without a label"] == "50.00%"


class TestClassWeights:
    def test_median_frequency_by_hand(self):
        """Class 0 has 6 of the 8 labelled pixels of its samples, class 1 has 2 of 8, class 2 has 4 of 4."""
        targets = labels([0, 0, 0, 1], [0, 0, 0, 1], [2, 2, 2, 2], [VOID] * 4)
        weights = KIND.median_frequency_weights(targets, 4)
        assert weights.tolist() == pytest.approx([1.0, 3.0, 0.75, 1.0])

    def test_balanced_by_hand(self):
        weights = KIND.balanced_weights(labels([0, 0, 0, 1], [VOID] * 4), 2)
        assert weights.tolist() == pytest.approx([4 / 6, 2.0])


class TestDigest:
    targets = torch.randint(3, (4, 5, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    outputs = 2 * torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(1))

    def test_packing_keeps_everything(self):
        vectors = torch.randn(2, 5, 9 + 20)
        assert torch.equal(PixelDigest.unpacked(vectors).packed(), vectors)

    def test_parts_by_definition(self):
        targets = self.targets.clone()
        targets[1, :, :4], targets[2] = VOID, VOID
        found = PixelDigest.unpacked(KIND.digest(self.outputs, targets))
        known, probability = targets != VOID, self.outputs.softmax(dim=1)
        assert found.n_labelled.tolist() == [30, 10, 0, 30]
        for row in range(4):
            logs = probability[row].log().movedim(0, -1)[known[row]]
            truth = targets[row][known[row]].long()
            assert found.loss[row].item() == pytest.approx(
                -logs[torch.arange(len(truth)), truth].sum().item(), abs=1e-4
            )
            hits = (logs.argmax(dim=1) == truth).sum().item()
            assert found.confusion[row].trace().item() == hits
            ordered = probability[row].flatten(1).sort(dim=0, descending=True).values
            entropy = torch.distributions.Categorical(probability[row].flatten(1).T).entropy() / np.log(3)
            wanted = [ordered[0].mean(), (ordered[0] - ordered[1]).mean(), entropy.mean()]
            assert found.features[row].tolist() == pytest.approx([value.item() for value in wanted], abs=1e-6)
        assert torch.allclose(KIND.confidence_features(self.outputs).double(), found.features)

    def test_errors_are_shares_of_wrong_pixels(self):
        targets = self.targets.clone()
        targets[2] = VOID
        digests = KIND.digest(self.outputs, targets)
        wrong = self.outputs.argmax(dim=1) != targets
        expected = wrong.double().mean(dim=(1, 2))
        expected[2] = 0.0  # a sample without labels
        assert torch.allclose(KIND.errors(digests[:, None], targets)[:, 0], expected)

    def test_another_loss_is_summed_too(self):
        def loss(outputs, targets):
            return 3 * KIND.loss(outputs, targets)

        targets = self.targets.clone()
        targets[0, :3] = VOID
        digests = KIND.digest(self.outputs, targets, loss=loss)
        assert KIND.split_loss(digests, targets).item() == pytest.approx(3 * KIND.loss(self.outputs, targets).item())
