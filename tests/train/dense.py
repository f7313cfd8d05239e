"""A small data set with label maps, and networks for it: maps of classes from two registered images."""

import torch
from torch import nn

from nasfuse.data import Scale, Split
from nasfuse.data.dataset import Column, Dataset
from nasfuse.domain.modality import Modality, Task
from nasfuse.domain.task import VOID
from nasfuse.nn import build_network
from nasfuse.nn.branch import Branch
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


class MapBranch(Branch):
    """A branch whose logits are added to a learned map, so that pixels differ."""

    def __init__(self, branch, n_outputs):
        super().__init__(branch.route, fusion=branch.fusion, head=branch.head)
        self.map = nn.Parameter(torch.randn(n_outputs, *SIZE))

    def forward(self, states):
        return super().forward(states)[:, :, None, None] + self.map


def routed_network(dataset, *, kind="gate", routes=("a", "a+b:1", "a+b")):
    """A routed network with maps as outputs."""
    stream = {"encoder": "conv", "depth": 2, "width": 4, "stride": 2}
    router = {"kind": kind, "routes": list(routes)} | ({"reads": "inputs", "form": "conv"} if kind == "gate" else {})
    config = NetworkConfig.parse(
        {
            "route": ["a", "b"],
            "streams": {"a": stream, "b": stream},
            "fusion": {"kind": "concat", "placement": 2, "width": 4},
            "router": router,
        }
    )
    task = Task("multiclass", dataset.task.n_outputs)
    network = build_network(config, dataset.modalities, task)
    network.branches = nn.ModuleList([MapBranch(branch, task.n_outputs) for branch in network.branches])
    return network.eval()
