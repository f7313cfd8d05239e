"""Evaluating a network on a split: digests of its outputs in batches, metric and loss."""

import torch
from torch import Tensor

from nasfuse.data.dataset import Batch, Split
from nasfuse.domain.modality import Task
from nasfuse.nn.network import Network
from nasfuse.tasks import task_kind
from nasfuse.tasks.base import BatchLoss
from nasfuse.train.inference import run_split
from nasfuse.train.metrics import score


def predict_logits(network: Network, split: Split, *, device: torch.device) -> Tensor:
    """Returns the (n, n_outputs) float32 logits of every sample of `split`, on the CPU, in inference mode."""

    def logits_of(batch: Batch) -> Tensor:
        logits: Tensor = network(batch.inputs, batch.masks, present=batch.present)
        return logits.float().cpu()

    return torch.cat(run_split(network, split, logits_of, device=device))


def predict_digests(
    network: Network, split: Split, *, task: str, device: torch.device, loss: BatchLoss | None = None
) -> Tensor:
    """Returns the (n, m) digests of the outputs for every sample of `split`, on the CPU, in inference mode.

    Args:
        network: On `device`.
        split: Samples.
        task: Kind of task, which defines what is kept of outputs (`TaskKind.digest`).
        device: CPU or GPU.
        loss: Loss of which the digests have the sum; None is that of the task.
    """
    kind = task_kind(task)

    def digest_of(batch: Batch) -> Tensor:
        outputs: Tensor = network(batch.inputs, batch.masks, present=batch.present)
        return kind.digest(outputs.float(), batch.targets, loss=loss).cpu()

    return torch.cat(run_split(network, split, digest_of, device=device))


def evaluate(
    network: Network,
    split: Split,
    *,
    metric: str,
    task: Task,
    device: torch.device,
    loss: BatchLoss | None = None,
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
    digests = predict_digests(network, split, task=task.kind, device=device, loss=loss)
    return evaluate_digests(digests, split, metric=metric, task=task, loss=loss)


def evaluate_digests(
    digests: Tensor, split: Split, *, metric: str, task: Task, loss: BatchLoss | None
) -> tuple[float, float]:
    """Returns (metric, loss) of the digests (n, m) of outputs for `split`; see `evaluate`."""
    value = float(task_kind(task.kind).split_loss(digests, split.targets, loss=loss))
    if not torch.isfinite(digests).all():
        return float("nan"), float("nan")
    return score(metric, digests, split.targets, task=task.kind, target_scale=split.target_scale), value
