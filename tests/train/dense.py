"""A small data set with label maps of two registered images, and networks for it."""

import torch

from nasfuse.data import Scale, Split
from nasfuse.data.dataset import Column, Dataset
from nasfuse.domain.modality import Modality, Task
from nasfuse.domain.task import VOID
from nasfuse.nn import build_network
from nasfuse.spec.network import NetworkConfig

SIZE = (12, 16)


def dense_dataset(n_samples=24, *, seed=0, n_void=20):
    """Images `a` and `b`; a pixel has class 2 a + b for bits that the first channel of each shows with little noise."""
    generator = torch.Generator().manual_seed(seed)
    # blocks of 4 x 4 pixels, so that labels are smooth
    bits = torch.randint(2, (2, n_samples, 3, 4), generator=generator).repeat_interleave(4, 2).repeat_interleave(4, 3)
    images = 128 + (bits * 2 - 1) * 60 + torch.randint(-20, 21, bits.shape, generator=generator)
    targets = (2 * bits[0] + bits[1]).to(torch.uint8)
    for row in targets.view(n_samples, -1):
        row[torch.randperm(len(row), generator=generator)[:n_void]] = VOID
    values = {"a": images[0, :, None].expand(-1, 2, -1, -1).to(torch.uint8), "b": images[1, :, None].to(torch.uint8)}
    scale = Scale(torch.full((1, 1, 1, 1), 128.0), torch.full((1, 1, 1, 1), 60.0))
    every = torch.arange(n_samples)
    rows = {"train": every[: n_samples // 2], "val": every[n_samples // 2 :], "test": every[n_samples // 2 :]}

    def split(name):
        return Split({key: Column(one, rows[name], scale=scale) for key, one in values.items()}, targets[rows[name]])

    return Dataset(
        name="dense",
        modalities=(Modality("a", "image", (2, *SIZE)), Modality("b", "image", (1, *SIZE))),
        task=Task("segmentation", 4, SIZE),
        train=split("train"),
        val=split("val"),
        test=split("test"),
        fingerprint=f"dense{n_samples}{seed}",
    )


#: Options of the network of `network_config` that cost little.
STREAM = {"encoder": "resnet", "depth": 2, "width": 4, "stride": 1}
ROUTES = ("a", "a+b:1", "a+b")


def network_config(*, kind=None):
    """A network for label maps, static or with a router."""
    gate = {"reads": "inputs", "form": "conv", "width": 4} if kind == "gate" else {}
    return {
        "route": ["a", "b"],
        "streams": {"a": STREAM, "b": STREAM},
        "fusion": {"kind": "sites", "operator": "sum"},
        "decoder": {"width": 8},
        **({"router": {"kind": kind, "routes": list(ROUTES), **gate}} if kind else {}),
    }


def routed_network(dataset, *, kind="gate"):
    """An untrained network with routes for label maps."""
    return build_network(NetworkConfig.parse(network_config(kind=kind)), dataset.modalities, dataset.task).eval()
