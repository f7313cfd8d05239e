"""Fixed features in training: fitted on training samples, and computed once where no input changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from nasfuse.data.dataset import Dataset, Scale, Split
from nasfuse.nn.fixed_stem import FixedStem, fixed_stems
from nasfuse.nn.network import StreamNetwork
from nasfuse.nn.routing.gated import GatedNetwork

#: Training samples that stems are fitted on, at most.
_N_FITTED = 2048

#: Bytes of features that are kept, at most; beyond, they are computed in every step.
_MOST_BYTES = 2**30

#: Samples whose features are computed at once.
_ROWS = 256


def fit_stems(network: StreamNetwork, train: Split, *, seed: int) -> None:
    """Fits the fixed stems of `network` on training samples that have their modality, drawn with `seed`."""
    stems = fixed_stems(network)
    if not stems:
        return
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    for name, stem in stems.items():
        present = train.columns[name].present
        rows = order if present is None else order[present[order]]
        batch = train.batch(rows[:_N_FITTED], names=(name,))
        stem.fit(batch.inputs[name], batch.masks.get(name))


@contextmanager
def features_computed_once(network: StreamNetwork, dataset: Dataset, *, device: torch.device) -> Iterator[Dataset]:
    """Yields the data set with fixed features in place of the inputs of fixed stems, which take them inside the block.

    Nothing may change inputs in the meantime, neither augmentation nor a test split, which has inputs still. The data
    set is yielded as it is where `can_be_kept` says no.

    Args:
        network: On `device`; its fixed stems are fitted.
        dataset: Inputs of `network`.
        device: Where the features are computed; they are kept on the CPU.
    """
    stems = fixed_stems(network)
    names = tuple(stems)
    if not stems or not can_be_kept(network, dataset):
        yield dataset
        return
    train, val = (_with_features(split, stems, device) for split in (dataset.train, dataset.val))
    try:
        for stem in stems.values():
            stem.takes_features = True
        yield replace(dataset, train=train, val=val)
    finally:
        for name in names:
            stems[name].takes_features = False


def can_be_kept(network: StreamNetwork, dataset: Dataset) -> bool:
    """Returns whether fixed features can take the place of inputs, so that they are computed once.

    They need at most 1 GiB for all samples, and the router reads no input of a fixed stem itself.
    """
    stems = fixed_stems(network)
    if isinstance(network, GatedNetwork) and not network.router.inputs.isdisjoint(stems):
        return False
    n_samples = len(dataset.train) + len(dataset.val)
    return n_samples * sum(stem.n_features for stem in stems.values()) * 4 <= _MOST_BYTES


@torch.no_grad()
def _with_features(split: Split, stems: dict[str, FixedStem], device: torch.device) -> Split:
    if not len(split):
        return split
    parts: dict[str, list[Tensor]] = {name: [] for name in stems}
    for rows in torch.split(torch.arange(len(split)), _ROWS):
        batch = split.batch(rows, names=tuple(stems)).to(device)
        for name, stem in stems.items():
            parts[name].append(stem.features(batch.inputs[name], batch.masks.get(name)).cpu())
    unscaled = Scale(torch.zeros(1, 1), torch.ones(1, 1))
    columns = {
        name: replace(split.columns[name], values=torch.cat(values), index=None, scale=unscaled, is_filled=True)
        for name, values in parts.items()
    }
    return replace(split, columns={**split.columns, **columns})
