"""Evaluating a network on a split: logits in batches, metric and loss."""

import torch
from torch import Tensor

from nasfuse.data.dataset import Batch, Split
from nasfuse.domain.modality import Task
from nasfuse.nn.network import Network
from nasfuse.tasks import task_kind
from nasfuse.tasks.losses import TrainingLoss
from nasfuse.train.inference import run_split
from nasfuse.train.metrics import score


def predict_logits(network: Network, split: Split, *, device: torch.device) -> Tensor:
    """Returns the (n, n_outputs) float32 logits of every sample of `split`, on the CPU, in inference mode."""

    def logits_of(batch: Batch) -> Tensor:
        logits: Tensor = network(batch.inputs, batch.masks, present=batch.present)
        return logits.float().cpu()

    return torch.cat(run_split(network, split, logits_of, device=device))


def evaluate(
    network: Network,
    split: Split,
    *,
    metric: str,
    task: Task,
    device: torch.device,
    loss: TrainingLoss | None = None,
) -> tuple[float, float]:
    """Returns (metric, loss) of `network` on `split`.

    The loss of a regression is that of standardised numbers, its metric that of the numbers as the data has them.

    Args:
        network: Network on `device`.
        split: Samples.
        metric: Name of the metric.
        task: Task of the data.
        device: CPU or GPU.
        loss: Loss of the training; None is that of the task.

    Raises:
        DataError: The metric is undefined on this split.
    """
    logits = predict_logits(network, split, device=device)
    value = float((loss or task_kind(task.kind).loss)(logits, split.targets))
    if not torch.isfinite(logits).all():
        return float("nan"), float("nan")
    return score(metric, logits, split.targets, task=task.kind, target_scale=split.target_scale), value
