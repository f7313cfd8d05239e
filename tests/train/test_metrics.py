"""Metrics from logits: every one that a recipe can name, on every task it can judge."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from nasfuse.data import Scale
from nasfuse.domain.metric import METRICS
from nasfuse.domain.task import TASKS, VOID
from nasfuse.errors import DataError
from nasfuse.tasks import task_kind
from nasfuse.train.metrics import score

PAIRS = [(metric.name, task) for metric in METRICS.values() for task in metric.tasks]


def perfect(task):
    """Logits that are right about the targets beside them."""
    if task == "multiclass":
        targets = torch.arange(14) % 7
        return 99.0 * torch.nn.functional.one_hot(targets).float(), targets
    if task == "multilabel":
        targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        return 99.0 * (2 * targets - 1), targets
    if TASKS[task].is_dense:
        targets = torch.tensor([[[0, 1], [2, VOID]]]).to(torch.uint8)
        return 99.0 * torch.nn.functional.one_hot(targets.long().clamp_max(2)).movedim(-1, 1).float(), targets
    targets = torch.tensor([[1.0], [2.0], [4.0]])
    return targets.clone(), targets


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_perfect_beats_wrong_in_the_declared_direction(name, task):
    logits, targets = perfect(task)
    digest = task_kind(task).digest
    best, wrong = (score(name, digest(x, targets), targets, task=task) for x in (logits, -logits))
    assert METRICS[name].sign * best < METRICS[name].sign * wrong
    assert best == pytest.approx(0.0 if METRICS[name].direction == "minimize" else 1.0)


def test_the_five_most_probable_classes():
    logits, targets = torch.arange(6.0).flip(0).repeat(2, 1), torch.tensor([4, 5])
    assert score("top5_accuracy", logits, targets, task="multiclass") == 0.5
    with pytest.raises(DataError, match="the data have 5 classes, so top5_accuracy is always 1; use accuracy"):
        score("top5_accuracy", logits[:, :5], targets - 1, task="multiclass")


def test_the_three_most_probable_classes():
    logits, targets = torch.arange(6.0).flip(0).repeat(2, 1), torch.tensor([2, 3])
    assert score("top3_accuracy", logits, targets, task="multiclass") == 0.5


@pytest.mark.parametrize(("name", "of_each"), [("macro_f2", (10 / 11, 5 / 9)), ("macro_f05", (5 / 7, 5 / 6))])
def test_f_beta_by_hand(name, of_each):
    """Class 0 has precision 2/3 and recall 1, class 1 precision 1 and recall 1/2."""
    logits, targets = classes([0, 0, 0, 1], 2), torch.tensor([0, 0, 1, 1])
    assert score(name, logits, targets, task="multiclass") == pytest.approx(sum(of_each) / 2)


class TestQuadraticKappa:
    @pytest.mark.parametrize("guess", [[0, 1, 3, 3], [0, 2, 2, 3], [3, 2, 1, 0]])
    def test_distances_are_those_of_the_numbers(self, guess):
        logits, targets = torch.nn.functional.one_hot(torch.tensor(guess), 4).float(), torch.tensor([0, 1, 2, 3])
        squared = ((torch.tensor(guess) - targets).double() ** 2).mean()
        by_chance = ((torch.tensor(guess)[:, None] - targets).double() ** 2).mean()
        found = score("quadratic_kappa", logits, targets, task="multiclass")
        assert found == pytest.approx(float(1 - squared / by_chance))

    def test_classes_that_do_not_occur_keep_their_distance(self):
        targets, rows = torch.tensor([0, 0, 3, 3]), torch.eye(4)
        near, far = (
            score("quadratic_kappa", rows[guess], targets, task="multiclass") for guess in ([1, 0, 3, 3], [3, 0, 3, 3])
        )
        assert near > far
        with pytest.raises(DataError, match="have one class, so quadratic_kappa is undefined; use accuracy"):
            score("quadratic_kappa", torch.eye(4)[:2], torch.tensor([1, 1]), task="multiclass")


def test_weighted_f1_follows_the_samples():
    logits, targets = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]]), torch.tensor([0, 0, 1, 1])
    found = score("weighted_f1", logits, targets, task="multiclass")
    assert found == pytest.approx(sk.f1_score([0, 0, 1, 1], [0, 0, 0, 1], average="weighted"))


def test_average_precision_of_classes():
    logits, targets = torch.randn(30, 3), torch.arange(30) % 3
    scores = logits.log_softmax(dim=1)
    expected = [sk.average_precision_score(targets == k, scores[:, k]) for k in range(3)]
    assert score("auprc", logits, targets, task="multiclass") == pytest.approx(sum(expected) / 3)


def test_accuracy_and_its_balanced_form():
    logits = torch.tensor([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    targets = torch.tensor([0, 0, 0, 1])
    assert score("accuracy", logits, targets, task="multiclass") == 0.75
    assert score("balanced_accuracy", logits, targets, task="multiclass") == 0.5


def test_labels_are_positive_logits():
    logits, targets = torch.tensor([[0.1, -0.1], [-3.0, 3.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    # One of three positives is missed: precision 1, recall 2/3.
    assert score("micro_f1", logits, targets, task="multilabel") == pytest.approx(0.8)


def test_losses_of_the_tasks():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    expected = -torch.log_softmax(logits, 1)[[0, 1], [0, 0]].mean()
    assert torch.allclose(task_kind("multiclass").loss(logits, torch.tensor([0, 0])), expected)
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    expected = -(labels * logits.sigmoid().log() + (1 - labels) * (1 - logits.sigmoid()).log()).mean()
    assert torch.allclose(task_kind("multilabel").loss(logits, labels), expected)
    targets = torch.tensor([[2.5, 0.0], [0.0, 4.0]])
    assert torch.allclose(task_kind("regression").loss(logits, targets), torch.tensor((0.125 + 2.5) / 4))


def classes(guesses, n_classes):
    return torch.nn.functional.one_hot(torch.tensor(guesses), n_classes).float()


class TestAveragesOverClasses:
    def test_one_stray_prediction_adds_no_class(self):
        # Ten samples of class 0 and ten of class 1; one of class 0 is taken for class 2, which does not occur. Class 0
        # has precision 1 and recall .9, class 1 is perfect.
        truth = torch.tensor([0] * 10 + [1] * 10)
        guess = classes([2, *truth.tolist()[1:]], 3)
        recall = 0.9
        assert score("macro_f1", guess, truth, task="multiclass") == pytest.approx((2 * recall / (1 + recall) + 1) / 2)
        assert score("balanced_accuracy", guess, truth, task="multiclass") == pytest.approx((recall + 1) / 2)

    def test_a_class_that_is_never_predicted_counts_with_0(self):
        truth = torch.tensor([0, 0, 1, 2])
        guess = classes([0, 0, 1, 1], 3)
        # Class 0 is perfect; class 1 has precision 1/2 and recall 1; class 2 nothing.
        assert score("macro_f1", guess, truth, task="multiclass") == pytest.approx((1 + 2 / 3 + 0) / 3)
        assert score("balanced_accuracy", guess, truth, task="multiclass") == pytest.approx(2 / 3)

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.randoms(use_true_random=False), st.integers(1, 4))
    def test_which_absent_class_is_predicted_makes_no_difference(self, labels, random, n_absent):
        guesses = [random.choice([label, 4]) for label in labels]
        strays = [random.randrange(4, 4 + n_absent) if guess == 4 else guess for guess in guesses]
        truth = torch.tensor(labels)
        for name in ("macro_f1", "balanced_accuracy"):
            same, other = (score(name, classes(x, 8), truth, task="multiclass") for x in (guesses, strays))
            assert same == pytest.approx(other)

    def test_an_absent_class_is_no_reason_to_warn(self, recwarn):
        score("balanced_accuracy", classes([0, 2], 3), torch.tensor([0, 1]), task="multiclass")
        assert not recwarn.list

    def test_a_label_without_positive_sample_is_left_out(self):
        truth = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
        right, stray = 2 * truth - 1, torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
        assert score("macro_f1", right, truth, task="multilabel") == 1.0
        assert score("macro_f1", stray, truth, task="multilabel") == 1.0
        assert score("micro_f1", stray, truth, task="multilabel") == pytest.approx(0.8), "it counts every yes"

    @pytest.mark.parametrize("name", ["macro_f1", "micro_f1"])
    def test_f1_of_nothing_is_refused(self, name):
        with pytest.raises(DataError, match="no sample of this split has any label, so F1 is undefined; add positive"):
            score(name, torch.ones(3, 2), torch.zeros(3, 2), task="multilabel")


class TestProbabilities:
    """Metrics of probabilities, compared with scikit-learn's."""

    def multiclass(self):
        generator = torch.Generator().manual_seed(0)
        return torch.randn(60, 3, generator=generator), torch.randint(3, (60,), generator=generator)

    def test_auc_and_log_loss_of_classes(self):
        logits, targets = self.multiclass()
        probabilities = logits.double().softmax(dim=1).numpy()
        auc, loss = (score(name, logits, targets, task="multiclass") for name in ("auc", "log_loss"))
        assert auc == pytest.approx(sk.roc_auc_score(targets, probabilities, multi_class="ovr"))
        assert loss == pytest.approx(sk.log_loss(targets, probabilities))

    def test_two_classes_have_one_auc(self):
        logits, targets = self.multiclass()
        logits, targets = logits[:, :2], targets.clamp_max(1)
        expected = sk.roc_auc_score(targets, logits[:, 1] - logits[:, 0])
        assert score("auc", logits, targets, task="multiclass") == pytest.approx(expected)

    def test_auc_and_log_loss_of_labels(self):
        logits, _ = self.multiclass()
        targets = (torch.rand(60, 3, generator=torch.Generator().manual_seed(1)) < 0.3).float()
        auc, loss = (score(name, logits, targets, task="multilabel") for name in ("auc", "log_loss"))
        assert auc == pytest.approx(sk.roc_auc_score(targets, logits))
        columns = [sk.log_loss(targets[:, k], logits[:, k].double().sigmoid()) for k in range(3)]
        assert loss == pytest.approx(sum(columns) / 3)

    def test_a_class_that_does_not_occur_has_no_auc(self):
        logits, targets = self.multiclass()
        expected = score("auc", logits[:, :2], targets.clamp_max(1), task="multiclass")
        absent = torch.cat([logits[:, :2], torch.full((60, 1), -999.0)], dim=1)
        assert score("auc", absent, targets.clamp_max(1), task="multiclass") == pytest.approx(expected)

    def test_large_logits_have_a_finite_loss(self):
        logits, targets = torch.tensor([[0.0, 900.0], [0.0, 950.0], [0.0, 990.0]]), torch.tensor([0, 1, 1])
        assert score("log_loss", logits, targets, task="multiclass") == pytest.approx(300)

    @pytest.mark.parametrize(
        ("task", "targets"), [("multiclass", torch.tensor([1, 1])), ("multilabel", torch.tensor([[1.0, 0], [1, 0]]))]
    )
    def test_the_auc_of_one_class_is_refused(self, task, targets):
        with pytest.raises(DataError, match=r"present in some samples .* so the AUC is undefined; add samples"):
            score("auc", torch.randn(2, 2), targets, task=task)


class TestRegression:
    SCALE = Scale(torch.tensor([[5.0, -3.0]], dtype=torch.float64), torch.tensor([[10.0, 0.1]], dtype=torch.float64))

    def test_errors_are_in_the_unit_of_the_data(self):
        truth = torch.tensor([[0.0, 0.0], [1.0, -1.0], [-1.0, 1.0]])
        guess = truth + torch.tensor([[0.5, 0.2]])
        own = score("mae", guess, truth, task="regression", target_scale=self.SCALE)
        assert own == pytest.approx((0.5 * 10 + 0.2 * 0.1) / 2)

    def test_r2_is_a_pure_number(self):
        truth, guess = torch.randn(9, 2), torch.randn(9, 2)
        plain, scaled = (score("r2", guess, truth, task="regression", target_scale=s) for s in (None, self.SCALE))
        assert plain == scaled
        own = [x.double() * self.SCALE.std + self.SCALE.mean for x in (truth, guess)]
        assert plain == pytest.approx(sk.r2_score(*own))

    def test_root_mean_squared_error(self):
        truth, guess = torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [7.0, 0.0]])
        assert score("rmse", guess, truth, task="regression", target_scale=self.SCALE) == pytest.approx(25)

    def test_correlations(self):
        truth, guess = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[0.0], [1.0], [8.0], [90.0]])
        assert score("spearman", guess, truth, task="regression") == pytest.approx(1)
        expected = torch.corrcoef(torch.cat([truth, guess], dim=1).T)[0, 1]
        assert score("pearson", guess, truth, task="regression") == pytest.approx(float(expected))
        for name in ("pearson", "spearman"):
            assert score(name, torch.ones(4, 1), truth, task="regression") == 0.0

    def test_an_output_that_does_not_vary_has_no_r2(self):
        truth = torch.tensor([[1.0, 7.0], [2.0, 7.0], [4.0, 7.0]])
        guess = truth + torch.tensor([[0.0, 1.0]])
        assert score("r2", guess, truth, task="regression") == 1.0
        with pytest.raises(DataError, match="the target is the same in all samples of this split, so r2 is undefined"):
            score("r2", guess, torch.ones(3, 2), task="regression")


def test_smoothed_labels_move_towards_one_half():
    logits, labels = torch.randn(4, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    found = task_kind("multilabel").loss(logits, labels, label_smoothing=0.3)
    moved = 0.85 * labels + 0.15 * (1 - labels)
    expected = -(moved * logits.sigmoid().log() + (1 - moved) * (1 - logits.sigmoid()).log()).mean()
    assert torch.allclose(found, expected)


def test_two_classes_and_one_label_are_smoothed_alike():
    logits, labels = torch.randn(6), torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    label = task_kind("multilabel").loss(logits[:, None], labels[:, None], label_smoothing=0.2)
    two = torch.stack([torch.zeros(6), logits], dim=1)
    assert torch.allclose(label, task_kind("multiclass").loss(two, labels.long(), label_smoothing=0.2))


class TestPixels:
    """Metrics of label maps against scikit-learn, which sees all labelled pixels as samples."""

    targets = torch.randint(5, (6, 7, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    outputs = torch.randn(6, 6, 7, 8, generator=torch.Generator().manual_seed(1))

    def score(self, name, outputs, targets):
        """The metric from digests of batches of two and four samples."""
        parts = [slice(0, 2), slice(2, None)]
        digests = torch.cat([task_kind("segmentation").digest(outputs[part], targets[part]) for part in parts])
        return score(name, digests, targets, task="segmentation")

    @pytest.mark.parametrize("n_void", [0, 40, 330])
    def test_pixels_are_samples(self, n_void):
        targets = self.targets.flatten().clone()
        targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(2))[:n_void]] = VOID
        targets = targets.view_as(self.targets)
        truth, guess = targets[targets != VOID], self.outputs.argmax(dim=1)[targets != VOID]
        accuracy = sk.accuracy_score(truth, guess)
        assert self.score("pixel_accuracy", self.outputs, targets) == pytest.approx(accuracy)
        # class 5 is predicted and never true: its pixels are missed by others, and it is not in the mean
        expected = sk.jaccard_score(truth, guess, labels=truth.unique(), average="macro")
        assert self.score("miou", self.outputs, targets) == pytest.approx(expected)

    def test_a_split_without_labels_has_no_metric(self):
        with pytest.raises(DataError, match="no pixel of this split has a label, so miou is undefined"):
            self.score("miou", self.outputs, torch.full_like(self.targets, VOID))
