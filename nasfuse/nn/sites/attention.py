"""Attention at a site: to all tokens of the other streams, or through a few shared tokens."""

from collections.abc import Mapping

from nasfuse.nn.attention import CrossAttentionBlock
from nasfuse.nn.embedding import new_embedding
from nasfuse.nn.fusion.base import Projections
from nasfuse.nn.sites.base import SiteOperator
from nasfuse.nn.tokens import Extent, Tokens, join


class SiteCrossAttention(SiteOperator):
    """The tokens of the main stream attend to those of all other streams, in one block (MulT; Tsai et al., 2019).

    MACs: those of the projections and of the block.
    """

    reads_any_number = True

    def __init__(self, width: int, others: Mapping[str, int], *, heads: int, mlp_ratio: int, dropout: float) -> None:
        """Builds the operator for a main stream of `width` and others by name."""
        super().__init__()
        self.project = Projections(others, width)
        self.block = CrossAttentionBlock(width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)

    def forward(self, main: Tokens, others: Mapping[str, Tokens]) -> Tokens:
        """Returns the tokens after the block, see `SiteOperator.forward`."""
        source = _joined(others, self.project)
        line = main.in_line()
        return main.out_of_line(self.block(line.values, source.values, source.mask, source.sizes))

    def macs(self, main: Extent, others: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of projections and block."""
        return _projection_macs(others, self.project) + self.block.macs(main.n_all, _n_tokens(others))


class SiteBottleneck(SiteOperator):
    """A few learned tokens attend to those of the other streams, and the main stream attends to them.

    One direction of the multimodal bottleneck transformer (Nagrani et al., 2021), where all streams read and write the
    shared tokens, which are a part of the input of their own blocks. The products grow linearly with the tokens.
    MACs: those of the projections and of two cross-attention blocks.
    """

    reads_any_number = True

    def __init__(
        self,
        width: int,
        others: Mapping[str, int],
        *,
        heads: int,
        mlp_ratio: int,
        dropout: float,
        n_bottlenecks: int,
    ) -> None:
        """Builds the operator for a main stream of `width` and others by name."""
        super().__init__()
        self.project = Projections(others, width)
        self.shared = new_embedding(1, n_bottlenecks, width)
        self.gather, self.spread = (
            CrossAttentionBlock(width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout) for _ in range(2)
        )

    def forward(self, main: Tokens, others: Mapping[str, Tokens]) -> Tokens:
        """Returns the tokens after both blocks, see `SiteOperator.forward`."""
        source = _joined(others, self.project)
        shared = self.shared.expand(source.values.shape[0], -1, -1)
        shared = self.gather(shared, source.values, source.mask, source.sizes)
        return main.out_of_line(self.spread(main.in_line().values, shared, None))

    def macs(self, main: Extent, others: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of projections and blocks."""
        n_shared = self.shared.shape[1]
        blocks = self.gather.macs(n_shared, _n_tokens(others)) + self.spread.macs(main.n_all, n_shared)
        return _projection_macs(others, self.project) + blocks


def _joined(others: Mapping[str, Tokens], project: Projections) -> Tokens:
    """Returns the tokens of all other streams, CLS included, at the width of the main stream."""
    return join([tokens.each(project[name]).in_line() for name, tokens in others.items()])


def _projection_macs(others: Mapping[str, Extent], project: Projections) -> int:
    return sum(project.macs_per_token[name] * extent.n_all for name, extent in others.items())


def _n_tokens(others: Mapping[str, Extent]) -> int:
    return sum(extent.n_all for extent in others.values())
