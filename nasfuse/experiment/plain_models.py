"""What a constant prediction and a linear model score on the validation samples of a data set."""

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nasfuse.data import Dataset, Split
from nasfuse.data.progress import tracked
from nasfuse.domain.task import TASKS
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.countdown import UNLIMITED, Countdown, TimeSpentError
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.pixel_models import pixel_digests
from nasfuse.experiment.plain_comparison import PlainScores
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.nn.linear_stream import statistics_of
from nasfuse.spec.data import DataConfig
from nasfuse.spec.study import StudyConfig
from nasfuse.tasks import TaskKind, task_kind
from nasfuse.train.cross_validation import pooled_score

Floats = NDArray[np.float64]

#: Number of divisions into train and val on which plain models are evaluated, as a search repeats its trainings.
N_DIVISIONS = 3

#: Inverse strengths of the regularisation of logistic regression, of which one is chosen on a part of train.
_INVERSE_STRENGTHS = (0.001, 0.01, 0.1, 1.0)
#: Strengths of the regularisation of ridge regression, of which one is chosen by leave-one-out errors.
_STRENGTHS = np.logspace(0, 5, 11)
#: Largest number of training samples and of pixels along a side of an image that linear models see.
_MOST_SAMPLES, _MOST_PIXELS = 5000, 16
#: Weight of the squared weights in the loss of a kind of task that has no model in scikit-learn.
_PENALTY = 1e-3
#: Share of train by which the regularisation is chosen.
_HELD_OUT = 0.2


def keep_plain_scores(folder: RunFolder, study: StudyConfig, *, countdown: Countdown) -> bool:
    """Writes the validation metrics of the models without a search to `plain_models.json`, unless they are there.

    Returns:
        Whether there was time for it.
    """
    if not folder.plain_models_file.is_file():
        dataset_of = partial(cached_dataset, study.data.model_dump_json())
        repeats = study.budget.repeats
        try:
            scores = plain_scores(
                dataset_of, study.data, metric=study.objective, n_divisions=repeats, countdown=countdown
            )
        except TimeSpentError:
            return False
        write_text(folder.plain_models_file, json.dumps(asdict(scores), indent=2))
    return True


def plain_scores(
    dataset_of: Callable[[int], Dataset],
    config: DataConfig,
    *,
    metric: str,
    n_divisions: int = N_DIVISIONS,
    countdown: Countdown = UNLIMITED,
) -> PlainScores:
    """Returns the validation metrics of the best constant prediction and of a linear model.

    The linear model is a logistic regression (one per label of multilabel targets), a ridge regression, or for other
    kinds of task a linear map that minimises their loss, on the standardised values of all modalities side by side:
    vectors unchanged, images of at most 16 x 16 pixels, statistics of the channels of sequences, and frequencies of
    token ids. At most 5,000 training samples are used. For label maps it is a logistic regression of every pixel, see
    `pixel_digests`.

    Args:
        dataset_of: Returns the data set with a division into train and val, see `divided` of
            `nasfuse.data.sources.registry`; called more than once for some divisions.
        config: Description of the data. With `validation`, predictions of the folds are pooled, as in a search.
        metric: Metric, a key of `nasfuse.domain.metric.METRICS`.
        n_divisions: Largest number of divisions. A single one is used if the file fixes the validation samples, and the
            `validation.repeats` divisions of a cross-validation.
        countdown: Time for the linear models.

    Raises:
        TimeSpentError: The time was spent before the last linear model was begun.
    """
    validation = config.validation
    if validation is not None:
        n_folds = validation.folds
        groups = [range(start, start + n_folds) for start in range(0, validation.n_trainings, n_folds)]
    elif dataset_of(0).fingerprint == dataset_of(1).fingerprint:
        groups = [range(1)]
    else:
        groups = [range(number, number + 1) for number in range(n_divisions)]
    every = [number for numbers in groups for number in numbers]
    fits = (linear_outputs(dataset_of(number)) for number in countdown.while_left(every))
    fitted = tracked("linear models", fits, total=len(every))
    if len(fitted) < len(every):
        raise TimeSpentError
    outputs = iter(fitted)
    constant, linear = [], []
    for numbers in groups:
        parts = [dataset_of(number) for number in numbers]
        constant.append(constant_score(parts, metric))
        own, splits = list(islice(outputs, len(parts))), [part.val for part in parts]
        linear.append(pooled_score(metric, own, splits, task=parts[0].task.kind))
    return PlainScores(metric, tuple(constant), tuple(linear))


def constant_score(parts: Sequence[Dataset], metric: str) -> float:
    """Returns the metric for the validation samples of all parts, each predicted by the best constant of its part."""
    task, kind = parts[0].task, task_kind(parts[0].task.kind)
    constants = [kind.constant(part.train.targets, task.n_outputs, metric=metric) for part in parts]
    pairs = zip(constants, parts, strict=True)
    digests = [kind.digests_of_constant(one.float(), part.val.targets) for one, part in pairs]
    return pooled_score(metric, digests, [part.val for part in parts], task=task.kind)


def linear_outputs(dataset: Dataset) -> Tensor:
    """Returns the outputs of a linear model for the validation samples.

    Returns:
        (n, n_outputs) logits or standardised numbers; for label maps the digests of `pixel_digests`.
    """
    if TASKS[dataset.task.kind].is_dense:
        return pixel_digests(dataset)
    from sklearn.linear_model import RidgeCV  # slow to import
    from sklearn.preprocessing import StandardScaler

    chosen = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(0))[:_MOST_SAMPLES]
    scaler = StandardScaler()
    inputs = scaler.fit_transform(_features(dataset, dataset.train, chosen))
    others = scaler.transform(_features(dataset, dataset.val, torch.arange(len(dataset.val))))
    kind, targets = task_kind(dataset.task.kind), dataset.train.targets[chosen].numpy()
    if not TASKS[dataset.task.kind].has_classes and not kind.is_standardised:
        return _by_own_loss(kind, inputs, targets, others, n_outputs=dataset.task.n_outputs)
    if kind.is_standardised:
        found = RidgeCV(_STRENGTHS).fit(inputs, targets).predict(others).reshape(len(others), -1)
    elif targets.ndim == 1:
        found = _logits(inputs, targets, others, n_classes=dataset.task.n_outputs)
    else:
        columns = [_logits(inputs, column, others, n_classes=2) for column in targets.T.astype(np.int64)]
        found = np.stack([column[:, 1] - column[:, 0] for column in columns], axis=1)
    return torch.from_numpy(np.asarray(found, np.float32))


def _by_own_loss(kind: TaskKind, inputs: Floats, targets: Any, others: Floats, *, n_outputs: int) -> Tensor:
    """Returns (n, n_outputs) outputs of a linear model that minimises the loss of the task and a small penalty."""
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    weights = torch.zeros(x.shape[1], n_outputs, dtype=x.dtype, requires_grad=True)
    offsets = torch.zeros(n_outputs, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, offsets], max_iter=200, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = kind.loss(x @ weights + offsets, y) + _PENALTY * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return (torch.from_numpy(others) @ weights + offsets).float()


def _logits(inputs: Floats, targets: Any, others: Floats, *, n_classes: int) -> Floats:
    """Returns (n, n_classes) log-probabilities of logistic regression; classes without samples have the lowest."""
    logits = np.full((len(others), n_classes), -30.0)
    classes = np.unique(targets)
    if len(classes) == 1:
        logits[:, classes[0]] = 0.0
        return logits
    n_held = max(int(_HELD_OUT * len(inputs)), 1)
    kept, held = slice(n_held, None), slice(0, n_held)
    best = max(_INVERSE_STRENGTHS, key=lambda c: _accuracy(inputs[kept], targets[kept], inputs[held], targets[held], c))
    logits[:, classes] = np.maximum(_fitted(inputs, targets, best).predict_log_proba(others), -30.0)
    return logits


def _accuracy(inputs: Floats, targets: Any, others: Floats, truth: Any, strength: float) -> float:
    if len(np.unique(targets)) == 1:
        return 0.0
    return float(_fitted(inputs, targets, strength).score(others, truth))


def _fitted(inputs: Floats, targets: Any, strength: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning  # slow to import
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning)  # close enough for a comparison
        return LogisticRegression(C=strength, max_iter=200).fit(inputs, targets)


def _features(dataset: Dataset, split: Split, rows: Tensor) -> Floats:
    """Returns (n, f) features of the samples `rows`."""
    names = tuple(modality.name for modality in dataset.modalities)
    blocks = []
    for part in torch.split(rows, 512):
        batch, own = split.batch(part, names=names), []
        for modality in dataset.modalities:
            values, mask = batch.inputs[modality.name], batch.masks.get(modality.name)
            if modality.vocabulary is not None:
                words = F.one_hot(values, modality.vocabulary).float()
                values = (words if mask is None else words * mask[..., None]).sum(dim=1)
            elif modality.kind == "sequence":
                values = statistics_of(values, mask)
            elif modality.kind == "image" and max(values.shape[2:]) > _MOST_PIXELS:
                values = F.adaptive_avg_pool2d(
                    values, (min(values.shape[2], _MOST_PIXELS), min(values.shape[3], _MOST_PIXELS))
                )
            own.append(values.flatten(1))
        blocks.append(torch.cat(own, dim=1))
    return torch.cat(blocks).double().numpy()
