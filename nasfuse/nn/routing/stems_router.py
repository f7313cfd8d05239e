"""Router on the stems of all streams, as for the label maps of DynMM."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nasfuse.errors import InvalidInputError
from nasfuse.nn.branch import States
from nasfuse.nn.packing import HasPackedWeights, Packings
from nasfuse.nn.places import Line, Place
from nasfuse.nn.residual_blocks import Grid, group_norm
from nasfuse.nn.routing.router import Router
from nasfuse.nn.sites.aligned import aligned
from nasfuse.nn.tokens import Extent

#: Side of the kernels of the convolutions, and their stride.
_SIDE, _STRIDE = 5, 2

#: Smallest side of a map for two convolutions without padding.
_LEAST_SIDE = 13


class StemsRouter(Router, HasPackedWeights):
    """Router on the tokens after the stems of all streams, which run for every sample.

    `conv` is the gate of the paper for NYU Depth V2: two convolutions of 5 x 5 with stride 2 on the concatenated maps,
    each followed by a norm and tanh, then the mean over the map and a linear layer without bias. Differences: the norm
    is by sample, maps of less than 13 x 13 are padded, and maps of another size are resized to that of the first
    stream. `linear` and `mlp` read the means of all stems.
    """

    def __init__(
        self, widths: Mapping[str, int], extents: Mapping[str, Extent], *, n_routes: int, form: str, width: int
    ) -> None:
        """Builds the router for stems of these widths and extents, by stream.

        Raises:
            InvalidInputError: The form is `conv`, and a stem has no map.
        """
        super().__init__()
        self.needs = dict.fromkeys(widths, 0)
        self.convolutions: nn.ModuleList | None = None
        self.widths = tuple(widths.values())
        n_features = sum(self.widths)
        if form == "conv":
            grid = _grid_of_all(extents)
            padding = 0 if min(grid) >= _LEAST_SIDE else _SIDE // 2
            self.convolutions = nn.ModuleList(
                nn.Sequential(nn.Conv2d(before, width, _SIDE, _STRIDE, padding), group_norm(width), nn.Tanh())
                for before in (n_features, width)
            )
            self.padding = padding
        hidden = [nn.Linear(n_features, width), nn.GELU()] if form == "mlp" else []
        last = nn.Linear(n_features if form == "linear" else width, n_routes, bias=form != "conv")
        self.layers = nn.Sequential(*hidden, last)

    def forward(self, states: States) -> Tensor:
        """Returns logits (b, n_routes)."""
        tokens = [states.at(Place(Line(name), 0)) for name in self.needs]
        if self.convolutions is None:
            features = torch.cat([one.mean() for one in tokens], dim=1)
        else:
            x = torch.cat([aligned(one, tokens[0]).as_map() for one in tokens], dim=1)
            for convolution in self.convolutions:
                x = convolution(x)
            features = x.mean(dim=(2, 3))
        logits: Tensor = self.layers(features)
        return logits

    def packings(self) -> Packings:
        """Returns the packing of the concatenation of the stems, which the first layer reads."""
        first = "layers.0" if self.convolutions is None else "convolutions.0.0"
        return {f"{first}.weight": {1: tuple((width,) for width in self.widths)}}

    def macs(self, lengths: Mapping[str, int], extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of convolutions and linear layers."""
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        total = sum(layer.in_features * layer.out_features for layer in linear)
        if self.convolutions is None:
            return total
        grid = _grid_of_all(extents)
        for block in self.convolutions:
            convolution: nn.Conv2d = block[0]  # type: ignore[index]
            height, wide = ((side + 2 * self.padding - _SIDE) // _STRIDE + 1 for side in grid)
            grid = (height, wide)
            total += height * wide * _SIDE**2 * convolution.in_channels * convolution.out_channels
        return total


def _grid_of_all(extents: Mapping[str, Extent]) -> Grid:
    """Returns the size of the map of the first stream."""
    without = [name for name, extent in extents.items() if extent.grid is None]
    if without:
        raise InvalidInputError(
            f"network.router.form: conv reads the maps of images, and stream {without[0]} has none after its stem; "
            "choose linear or mlp"
        )
    grid = next(iter(extents.values())).grid
    assert grid is not None
    return grid
