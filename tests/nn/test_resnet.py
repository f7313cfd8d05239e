"""Multi-scale convolutional streams: grids, widths, blocks and their MACs."""

import pytest
import torch

from nasfuse.domain.modality import Modality
from nasfuse.errors import ConfigError, InvalidInputError
from nasfuse.nn.residual_blocks import BLOCKS, group_norm
from nasfuse.nn.resnet import resnet_stream
from nasfuse.spec.network import NetworkConfig
from nasfuse.testing import EncoderSuite

ODD = Modality("i", "image", (3, 37, 22))


def make(modality=ODD, **options):
    defaults = {"depth": 4, "width": 8, "dropout": 0.0, "growth": 2.0, "blocks": 1, "block": "basic", "stride": 4}
    return resnet_stream(modality, **{**defaults, "stem_width": None, **options})


@pytest.mark.parametrize("block", BLOCKS)
class TestSuite(EncoderSuite):
    @pytest.fixture
    def modality(self):
        return ODD

    @pytest.fixture
    def make_encoder(self, block):
        return lambda modality, *, depth: make(modality, depth=depth, block=block, blocks=2)


def test_scales_halve_the_grid_rounded_up_and_widths_grow():
    stream = make(growth=1.5, block="bottleneck").eval()
    grids = [(10, 6), (10, 6), (5, 3), (3, 2), (2, 1)]
    widths = [2, 8, 12, 18, 27]
    for n_stages, (grid, width) in enumerate(zip(grids, widths, strict=True)):
        tokens = stream(torch.randn(2, 3, 37, 22), None, n_stages=n_stages)
        assert (tokens.grid, tokens.values.shape) == (grid, (2, grid[0] * grid[1], width))
        assert stream.width_at(n_stages) == stream.out_width_at(n_stages) == width


@pytest.mark.parametrize(("stride", "grid"), [(1, (37, 22)), (2, (19, 11)), (4, (10, 6))])
def test_strides_of_the_stem(stride, grid):
    assert make(stride=stride).macs(0, n_stages=0)[1].grid == grid


@pytest.mark.parametrize(
    ("block", "per_position"),
    [("basic", 9 * 8 * 8 + 9 * 8 * 8), ("bottleneck", 8 * 2 + 9 * 2 * 2 + 2 * 8), ("nbt1d", 12 * 8 * 8)],
)
def test_macs_of_a_block_that_changes_nothing(block, per_position):
    assert BLOCKS[block](8, 8, stride=1, dropout=0.0).macs((5, 3)) == 15 * per_position


def test_numbers_of_blocks():
    counts = [len(stage.blocks) for stage in make(blocks=(3, 4, 6, 3)).stages]
    assert counts == [3, 4, 6, 3]
    assert [len(stage.blocks) for stage in make(blocks=2, depth=2).stages] == [2, 2]
    plain = {"route": ["i"], "streams": {"i": {"encoder": "resnet", "depth": 3, "blocks": [1, 2]}}}
    with pytest.raises(ConfigError, match="blocks has 2 numbers for 3 scales; give one for each"):
        NetworkConfig.parse(plain)


def test_a_block_is_its_side_path_where_its_convolutions_give_zeros():
    block = BLOCKS["basic"](8, 8, stride=1, dropout=0.0)
    torch.nn.init.zeros_(block.norm.weight)
    x = torch.randn(2, 8, 5, 3)
    assert torch.equal(block(x), x.relu())


def test_groups_have_at_least_eight_features():
    for width in (1, 7, 8, 24, 64, 96, 2048):
        norm = group_norm(width)
        assert width / norm.num_groups >= min(width, 8)
        assert norm.num_groups <= 32


def test_images_smaller_than_the_stride_are_refused():
    with pytest.raises(InvalidInputError, match="stride 4 of stream i is longer than a side of its 3 x 9 image"):
        make(Modality("i", "image", (1, 3, 9)))
