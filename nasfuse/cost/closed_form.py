"""MACs from the networks' own formulas: known before training, expected over true lengths."""

from collections import Counter

from nasfuse.data.dataset import Dataset
from nasfuse.nn.network import FusionNetwork


def expected_macs(network: FusionNetwork, dataset: Dataset) -> int:
    """Returns the mean multiply-accumulates per sample of train and val, rounded to a whole number.

    Every sample is counted at its own lengths, as it costs alone; padding to a batch is not counted. Train and
    val together, so that the number does not depend on how they are divided.
    """
    kinds = {modality.name: modality for modality in dataset.modalities}
    names = [name for name in network.route.n_stages if kinds[name].kind == "sequence"]
    full = {name: kinds[name].shape[0] for name in names}
    ragged = [name for name in names if dataset.train.lengths(name) is not None]
    if not ragged:
        return network.macs(full)
    combinations: Counter[tuple[int, ...]] = Counter()
    for split in (dataset.train, dataset.val):
        combinations.update(zip(*[split.lengths(name).tolist() for name in ragged], strict=True))  # type: ignore[union-attr]
    total = sum(
        count * network.macs({**full, **dict(zip(ragged, lengths, strict=True))})
        for lengths, count in combinations.items()
    )
    return round(total / combinations.total())


def count_parameters(network: FusionNetwork) -> int:
    """Returns the number of trainable numbers in `network`."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
