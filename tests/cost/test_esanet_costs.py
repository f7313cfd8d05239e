"""The costs that DynMM publishes for NYU Depth V2 on ESANet, of that network built from this package's modules.

The paper also counts 2 for each element that a batch norm normalises and 1 for each bias of a convolution, and, where
pooling is a module of its own, 1 for each element that is read and for each that is written.
"""

import pytest
import torch
from torch import nn

from nasfuse.domain.modality import Modality
from nasfuse.nn.decoder import BINS, Decoder
from nasfuse.nn.resnet import resnet_stream
from nasfuse.nn.routing.stems_router import StemsRouter
from nasfuse.nn.sites.se_add import SiteSeAdd
from nasfuse.nn.tokens import Extent, Tokens

HEIGHT, WIDTH = 480, 640
GRIDS = [(120, 160), (60, 80), (30, 40), (15, 20)]
OPTIONS = {"depth": 4, "growth": 2.0, "blocks": (3, 4, 6, 3), "stride": 4, "stem_width": 64, "dropout": 0.0}
ENCODERS = {"R50": {"block": "bottleneck", "width": 256}, "R34-NBt1D": {"block": "nbt1d", "width": 64}}
GATE = 117_545_392


def elementwise(module, run):
    """What the paper counts beside products, in a call of `run`, from the sizes of the outputs of the modules."""
    total = 0

    def note(layer, arguments, output):
        nonlocal total
        if isinstance(layer, nn.GroupNorm):
            total += 2 * output.numel()
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            total += output.numel()

    hooks = [layer.register_forward_hook(note) for layer in module.modules()]
    run()
    for hook in hooks:
        hook.remove()
    return total


def scales(widths):
    return [Tokens(torch.empty(1, h * w, width), None, (h, w)) for (h, w), width in zip(GRIDS, widths, strict=True)]


class Published:
    """The parts of one of the published networks, without weights."""

    def __init__(self, name):
        with torch.device("meta"):
            self.rgb, self.depth = (
                resnet_stream(Modality("image", "image", (c, HEIGHT, WIDTH)), **OPTIONS, **ENCODERS[name])
                for c in (3, 1)
            )
            self.widths = [self.depth.width_at(n) for n in range(5)]
            self.decoder = Decoder(
                self.widths[1:],
                GRIDS,
                n_outputs=40,
                size=(HEIGHT, WIDTH),
                width=128,
                growth=1.0,
                n_blocks=3,
                upsampling="learned",
                context="pyramid_pooling",
                dropout=0.0,
            )

    def encoder(self, stream, n_channels, n_stages):
        with torch.device("meta"):
            image = torch.empty(1, n_channels, HEIGHT, WIDTH)
            more = elementwise(stream, lambda: stream(image, None, n_stages=n_stages))
        return stream.macs(0, n_stages=n_stages)[0] + more

    def excitations(self, n_stages):
        """Both excitations of a fusion, with a bias for each of their features."""
        width = self.widths[n_stages]
        site, extent = SiteSeAdd(width, {"depth": width}, reduction=16), Extent(1)
        return site.macs(extent, {"depth": extent}) + sum(
            layer.out_features for layer in site.modules() if isinstance(layer, nn.Linear)
        )

    def decoding(self):
        with torch.device("meta"):
            more = elementwise(self.decoder, lambda: self.decoder(scales(self.widths[1:])))
        extents = [Extent(h * w, (h, w)) for h, w in GRIDS]
        coarsest, width = extents[-1].n_tokens, self.widths[-1]
        pooling = sum(width * (coarsest + side**2) for side in BINS)
        return self.decoder.macs(extents) + more + pooling

    def rest(self):
        """All but the depth encoder and the fusions after its stages: the other encoder, the stem's, decoder, gate."""
        return self.encoder(self.rgb, 3, 4) + self.excitations(0) + self.decoding() + GATE


@pytest.fixture(scope="module")
def published():
    return {name: Published(name) for name in ENCODERS}


def test_the_depth_encoder_of_resnet_50_by_path(published):
    own = published["R50"]
    paths = [own.encoder(own.depth, 1, k) + sum(own.excitations(stage) for stage in range(1, k + 1)) for k in range(5)]
    assert paths == [250_675_200, 4_394_205_728, 10_723_821_152, 19_715_829_472, 24_679_084_000]
    totals = [(own.rest() + path) / 1e9 for path in paths]
    assert [round(total, 3) for total in totals] == [32.585, 36.729, 43.059, 52.051, 57.014]


def test_the_rest_of_the_network(published):
    assert round(published["R50"].rest() / 1e9, 7) == 32.3347902


def test_resnet_34_of_factored_convolutions_by_path(published):
    own = published["R34-NBt1D"]
    paths = [own.encoder(own.depth, 1, k) for k in range(5)]
    assert paths == [250_675_200, 3_111_321_600, 6_947_020_800, 12_664_320_000, 15_538_944_000]
    totals = [(own.rest() + path) / 1e9 for path in paths]
    assert [round(total, 3) for total in totals] == [22.371, 25.232, 29.067, 34.785, 37.659]


def test_the_gate():
    extent = Extent(120 * 160, (120, 160))
    widths = {"rgb": 64, "depth": 64}
    with torch.device("meta"):
        router = StemsRouter(widths, dict.fromkeys(widths, extent), n_routes=5, form="conv", width=8)
        tokens = Tokens(torch.empty(1, extent.n_tokens, 64), None, extent.grid)
        more = elementwise(router, lambda: router(Stems(tokens)))
    assert router.macs({}, dict.fromkeys(widths, extent)) + more == GATE


class Stems:
    """The same tokens after every stem."""

    def __init__(self, tokens):
        self.tokens = tokens

    def at(self, place):
        return self.tokens
