"""Dense tasks: what is said of a split from digests is what all maps in memory would say."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from nasfuse.domain.task import VOID
from nasfuse.errors import InvalidInputError
from nasfuse.spec.routing import GuaranteeConfig
from nasfuse.tasks import task_kind
from nasfuse.train import inference, tabulate_routes
from nasfuse.train.calibration_error import calibration_error
from nasfuse.train.class_figures import class_figures
from nasfuse.train.cross_validation import pooled_score
from nasfuse.train.guarantee import losses, with_guarantee
from nasfuse.train.metrics import score
from nasfuse.train.router_baselines import clairvoyant, confidence_cascade, oracle, random_mix, static_routes
from tests.train.dense import SIZE, dense_dataset, routed_network

CPU = torch.device("cpu")
KIND = task_kind("segmentation")


@pytest.fixture(scope="module")
def dataset():
    return dense_dataset()


def table_of(network, dataset, *, metric="miou"):
    return tabulate_routes(network, dataset.val, dataset, metric=metric, device=CPU)


def maps_of(network, split):
    """The naive twin of a table: (n, n_routes, K, H, W)."""
    batch = split.batch(torch.arange(len(split)), names=network.stream_names)
    with torch.no_grad():
        return network.all_routes(batch.inputs, batch.masks).outputs


@pytest.fixture(scope="module", params=["gate", "sequential"])
def network(request, dataset):
    torch.manual_seed(1)
    return routed_network(dataset, kind=request.param)


class TestTables:
    def test_routes_are_judged_by_their_maps(self, network, dataset):
        table, maps, split = table_of(network, dataset), maps_of(network, dataset.val), dataset.val
        assert table.digests.shape == (12, 3, 4 * 4 + 20)
        known = split.targets != VOID
        for number, (_, metric) in enumerate(static_routes(table)):
            own = KIND.digest(maps[:, number], split.targets)
            assert metric == pytest.approx(score("miou", own, split.targets, task="segmentation"))
        wrong = (maps.argmax(dim=2) != split.targets[:, None]) & known[:, None]
        errors = wrong.sum(dim=(2, 3)) / known.sum(dim=(1, 2))[:, None]
        assert torch.allclose(table.errors().float(), errors)

    def test_samples_may_take_different_routes(self, network, dataset):
        table, maps, targets = (
            table_of(network, dataset, metric="pixel_accuracy"),
            maps_of(network, dataset.val),
            dataset.val.targets,
        )
        table = table.calibrated()
        for threshold in (0.0, 0.4, 0.6, 1.0):
            chosen = table.chosen(threshold)
            guess = maps[torch.arange(len(chosen)), chosen].argmax(dim=1)
            expected = (guess == targets)[targets != VOID].double().mean()
            assert table.at(threshold).metric == pytest.approx(expected.item())
        curve = table.even_curve(5)
        assert [routed.macs for routed in curve] == sorted(routed.macs for routed in curve)

    def test_baselines_work(self, network, dataset):
        table = table_of(network, dataset)
        ends = [macs for macs, _ in static_routes(table)]
        best = table.errors().amin(dim=1)
        _, metric = oracle(table)
        taken = table.errors().gather(1, table.best_routes()[:, None])[:, 0]
        assert (taken <= best + KIND.equally_wrong).all()
        assert metric == table.metric_of(table.best_routes())
        mean, _ = random_mix(table, sum(ends[::2]) / 2, seed=0)
        assert 0 < mean < 1
        points = confidence_cascade(table, network, dataset.val, dataset, n_points=3)
        maps = maps_of(network, dataset.val)
        sure = maps[:, 0].double().softmax(dim=1).amax(dim=1).mean(dim=(1, 2))
        chosen = torch.zeros(12, dtype=torch.int64)
        chosen[sure.argsort()[:6]] = 2
        assert points[1][1] == pytest.approx(table.metric_of(chosen))
        with pytest.raises(InvalidInputError, match="where two routes predict the same is not known of a segmentation"):
            clairvoyant(table)

    def test_losses_of_a_guarantee_are_shares_of_pixels(self, network, dataset):
        table = table_of(network, dataset)
        calibrated, threshold = with_guarantee(table, GuaranteeConfig(max_loss=0.5, confidence=0.5), seed=0)
        found = losses(calibrated, threshold)
        assert ((found >= 0) & (found <= 1)).all()
        errors = table.errors()
        chosen = calibrated.chosen(threshold)
        assert torch.allclose(found, (errors[torch.arange(12), chosen] - errors[:, -1]).clamp_min(0))

    def test_confidences_of_exits_are_those_of_the_maps(self, dataset):
        network = routed_network(dataset, kind="sequential")
        table = table_of(network, dataset).calibrated()
        assert table.calibration.temperatures.tolist() == [1.0, 1.0]
        maps = maps_of(network, dataset.val)
        found = table.calibration.confidences(table.digests, KIND)
        expected = torch.stack([KIND.confidence(maps[:, number]) for number in range(2)], dim=1)
        assert torch.allclose(found, expected, atol=1e-6)


class TestFigures:
    def test_folds_are_pooled_pixel_by_pixel(self, dataset):
        outputs = torch.randn(12, 4, *SIZE)
        targets = dataset.val.targets
        parts = [dataset.val.of_samples(torch.arange(0, 5)), dataset.val.of_samples(torch.arange(5, 12))]
        digests = [KIND.digest(outputs[:5], targets[:5]), KIND.digest(outputs[5:], targets[5:])]
        whole = score("miou", KIND.digest(outputs, targets), targets, task="segmentation")
        assert pooled_score("miou", digests, parts, task="segmentation") == pytest.approx(whole)

    def test_figures_of_classes_by_hand(self):
        targets = torch.tensor([[[0, 0, 0, 1, 1, VOID]]]).to(torch.uint8)
        guess = torch.tensor([[[0, 0, 1, 1, 3, 2]]])
        outputs = torch.nn.functional.one_hot(guess, 4).movedim(-1, 1).float()
        found = class_figures(KIND.digest(outputs, targets), targets, names="abcd", task="segmentation")
        assert found == [
            {"name": "a", "pixels": 3, "iou": pytest.approx(2 / 3), "precision": 1.0, "recall": pytest.approx(2 / 3)},
            {"name": "b", "pixels": 2, "iou": pytest.approx(1 / 3), "precision": 0.5, "recall": 0.5},
            {"name": "c", "pixels": 0, "iou": None, "precision": None, "recall": None},
            {"name": "d", "pixels": 0, "iou": None, "precision": 0.0, "recall": None},
        ]

    def test_calibration_error_is_that_of_labelled_pixels_as_samples(self, dataset):
        outputs, targets = torch.randn(12, 4, *SIZE), dataset.val.targets
        known = targets != VOID
        expected = calibration_error(outputs.movedim(1, -1)[known], targets[known].long(), task="multiclass")
        found = calibration_error(KIND.digest(outputs, targets), targets, task="segmentation")
        assert found == pytest.approx(expected, abs=1e-5)


class PeakBytes(TorchDispatchMode):
    """The largest number of bytes of tensors that were made inside the block and alive together."""

    def __init__(self):
        super().__init__()
        self.alive = WeakIdKeyDictionary()
        self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(one, torch.Tensor):
                storage = one.untyped_storage()
                self.alive[storage] = storage.nbytes()
        self.peak = max(self.peak, sum(self.alive.values()))
        return result


def test_only_digests_grow_with_the_number_of_samples(monkeypatch):
    monkeypatch.setattr(inference, "_PIXELS", 4 * SIZE[0] * SIZE[1])
    peaks = {}
    for n_samples in (16, 144):
        dataset = dense_dataset(n_samples)
        network = routed_network(dataset)
        with PeakBytes() as memory:
            table = table_of(network, dataset)
        peaks[n_samples] = memory.peak
        assert table.digests.shape[0] == n_samples // 2
    n_more = (144 - 16) // 2
    digests = n_more * 3 * (4 * 4 + 20) * 8
    maps = n_more * 3 * 4 * SIZE[0] * SIZE[1] * 4
    # twice: the digests of the batches are joined
    assert peaks[144] - peaks[16] < 3 * digests < maps
