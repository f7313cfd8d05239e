"""Sparse fusion transformers (Ding et al., 2021) and the systems in their comparison, in the published sizes.

Every system takes a list of (b, L_m, in_m) tensors, one per modality, and returns (b, classes). `macs_by_part()` is the
closed form of its multiply-accumulates per sample. They are built from the blocks of this project by
the published descriptions. Differences that do not change the cost: GELU instead of ReLU, an affine norm before
attention, and no future mask in MulT.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.nn.attention import CrossAttentionBlock, SelfAttention, TransformerBlock


@dataclass(frozen=True)
class Shape:
    """Steps and features of each modality, and the number of outputs."""

    lengths: tuple[int, ...]
    widths: tuple[int, ...]
    n_outputs: int

    def inputs(self, n_samples: int) -> list[Tensor]:
        """Returns (n, L_m, in_m) of random numbers per modality."""
        return [torch.randn(n_samples, *size) for size in zip(self.lengths, self.widths, strict=True)]


#: Vision, audio, text.
MOSEI = Shape((500, 500, 50), (35, 74, 300), 7)
#: Frames, spectrogram, optical flow.
VGG100 = Shape((38, 1200, 38), (1024, 128, 1024), 100)
#: Pooling factors of SFT in its published runs: one token for a short stream, one per 64 steps of a long one.
MOSEI_KERNELS = (64, 64, 50)
VGG100_KERNELS = (38, 64, 38)

#: The data sets of MulT: vision, audio, text; a regression or, for IEMOCAP, four emotions of two classes.
MOSI_ALIGNED = Shape((50, 50, 50), (20, 5, 300), 1)
MOSI_UNALIGNED = Shape((500, 375, 50), (20, 5, 300), 1)
MOSEI_ALIGNED = Shape((50, 50, 50), (35, 74, 300), 1)
MOSEI_UNALIGNED = Shape((500, 500, 50), (35, 74, 300), 1)
IEMOCAP_UNALIGNED = Shape((500, 400, 20), (35, 74, 300), 8)


class Tokenizer(nn.Module):
    """(b, L, in) to (b, 1 + L, d): a linear layer, a learned CLS before the first step, learned positions."""

    def __init__(self, length: int, in_width: int, width: int, *, bias: bool = True) -> None:
        super().__init__()
        self.length = length
        self.project = nn.Linear(in_width, width, bias=bias)
        self.cls = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, length + 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.cls.expand(len(x), -1, -1), self.project(x)], dim=1) + self.positions

    def macs(self) -> int:
        return self.length * self.project.weight.numel()


class SparseLayer(nn.Module):
    """x + attention(LN(x)) without an MLP, where SFT pools. Dense: the published block mask is never applied."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads=heads)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(self.norm(x), None)


class System(nn.Module):
    """Tokenizers, and a head (LN, then linear) on a CLS, that all systems but MulT share."""

    def __init__(self, shape: Shape, *, width: int = 40, heads: int = 5) -> None:
        super().__init__()
        self.shape, self.width, self.heads = shape, width, heads
        sizes = zip(shape.lengths, shape.widths, strict=True)
        self.tokenizers = nn.ModuleList([Tokenizer(*size, width) for size in sizes])
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, shape.n_outputs))

    def tokens(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return [tokenize(x) for tokenize, x in zip(self.tokenizers, inputs, strict=True)]

    def stack(self, n_layers: int) -> nn.ModuleList:
        """Returns blocks with an MLP of ratio 1."""
        block = {"heads": self.heads, "mlp_ratio": 1, "dropout": 0.0}
        return nn.ModuleList([TransformerBlock(self.width, **block) for _ in range(n_layers)])

    def stacks(self, n_layers: int) -> nn.ModuleList:
        """Returns one stack per modality."""
        return nn.ModuleList([self.stack(n_layers) for _ in self.shape.lengths])

    def macs_by_part(self) -> dict[str, int]:
        raise NotImplementedError

    def macs(self) -> int:
        return sum(self.macs_by_part().values())

    def tokenizer_macs(self) -> int:
        return sum(tokenizer.macs() for tokenizer in self.tokenizers)

    def head_macs(self) -> int:
        return self.width * self.shape.n_outputs


def through(blocks: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Returns x after all `blocks`."""
    for block in blocks:
        x = block(x, None)
    return x


def stack_macs(blocks: Iterable[TransformerBlock], n_tokens: int) -> int:
    return sum(block.macs(n_tokens) for block in blocks)


def max_pool(x: Tensor, kernel: int, *, padding: int = 0) -> Tensor:
    """Returns (b, (t + 2 padding) // kernel, d): the maximum of every `kernel` steps, the tail dropped."""
    return F.max_pool1d(x.transpose(1, 2), kernel, padding=padding).transpose(1, 2)


class Sft(System):
    """Sparse fusion transformer: blocks per modality, a sparse layer, pooling, blocks on what is left of all.

    Streams are pooled by `kernels` without their CLS; the sum of all CLS precedes the pooled tokens.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        kernels: Sequence[int],
        padding: Sequence[int] = (0, 0, 0),
        n_before: int = 1,
        n_after: int = 11,
    ) -> None:
        super().__init__(shape)
        self.kernels, self.padding = tuple(kernels), tuple(padding)
        self.streams = self.stacks(n_before)
        self.sparse = nn.ModuleList([SparseLayer(self.width, heads=self.heads) for _ in shape.lengths])
        self.fused = self.stack(n_after)

    @classmethod
    def with_tokens(cls, shape: Shape, n_tokens: int) -> "Sft":
        """Returns the alternative pooling, to the same number of tokens from each modality (`pool_k`)."""
        kernels = [math.ceil(length / n_tokens) for length in shape.lengths]
        over = [kernel * n_tokens - length for kernel, length in zip(kernels, shape.lengths, strict=True)]
        padding = [min(extra // 2, kernel // 2) for extra, kernel in zip(over, kernels, strict=True)]
        return cls(shape, kernels=kernels, padding=padding)

    def n_fused(self) -> int:
        """Returns the tokens of the fused blocks, the CLS among them."""
        sizes = zip(self.shape.lengths, self.kernels, self.padding, strict=True)
        return 1 + sum((length + 2 * padding) // kernel for length, kernel, padding in sizes)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        streams = zip(self.tokens(inputs), self.streams, self.sparse, self.kernels, self.padding, strict=True)
        classes, pooled = [], []
        for x, blocks, sparse, kernel, padding in streams:
            x = sparse(through(blocks, x))
            classes.append(x[:, :1])
            pooled.append(max_pool(x[:, 1:], kernel, padding=padding))
        fused = torch.cat([torch.stack(classes).sum(dim=0), *pooled], dim=1)
        return self.head(through(self.fused, fused)[:, 0])

    def macs_by_part(self) -> dict[str, int]:
        lengths = [length + 1 for length in self.shape.lengths]
        return {
            "tokenizers": self.tokenizer_macs(),
            "unimodal": sum(stack_macs(blocks, n) for blocks, n in zip(self.streams, lengths, strict=True)),
            "sparse": sum(layer.attention.macs(n) for layer, n in zip(self.sparse, lengths, strict=True)),
            "fused": stack_macs(self.fused, self.n_fused()),
            "head": self.head_macs(),
        }


class Concat(System):
    """Blocks on the tokens of all modalities at once, read at the first CLS.

    With a `kernel`, all tokens are pooled after the first block, and preceded by the first CLS.
    """

    def __init__(self, shape: Shape, *, kernel: int | None = None, n_layers: int = 12) -> None:
        super().__init__(shape)
        self.kernel = kernel
        self.blocks = self.stack(n_layers)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        first, *rest = self.blocks
        x = first(torch.cat(self.tokens(inputs), dim=1), None)
        if self.kernel is not None:
            x = torch.cat([x[:, :1], max_pool(x, self.kernel)], dim=1)
        return self.head(through(rest, x)[:, 0])

    def macs_by_part(self) -> dict[str, int]:
        first, *rest = self.blocks
        n = sum(length + 1 for length in self.shape.lengths)
        n_rest = n if self.kernel is None else n // self.kernel + 1
        blocks = first.macs(n) + stack_macs(rest, n_rest)
        return {"tokenizers": self.tokenizer_macs(), "fused": blocks, "head": self.head_macs()}


class LateFusion(System):
    """Blocks per modality, one head for every CLS, logits summed.

    The published cost has L_m + 1 tokens in the first block and L_m + 2 in all later ones. What the extra token is
    makes no difference to it: here, as in `Concat`, the CLS is put before the tokens of the first block again.
    """

    def __init__(self, shape: Shape, *, n_layers: int = 12) -> None:
        super().__init__(shape)
        self.streams = self.stacks(n_layers)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        logits = []
        for x, (first, *rest) in zip(self.tokens(inputs), self.streams, strict=True):
            x = first(x, None)
            logits.append(self.head(through(rest, torch.cat([x[:, :1], x], dim=1))[:, 0]))
        return torch.stack(logits).sum(dim=0)

    def macs_by_part(self) -> dict[str, int]:
        unimodal = 0
        for (first, *rest), length in zip(self.streams, self.shape.lengths, strict=True):
            unimodal += first.macs(length + 1) + stack_macs(rest, length + 2)
        heads = len(self.shape.lengths) * self.head_macs()
        return {"tokenizers": self.tokenizer_macs(), "unimodal": unimodal, "head": heads}


class Mbt(System):
    """Multimodal bottleneck transformer (Nagrani et al., 2021) at the sizes of SFT's comparison.

    Layers 8 to 12 add bottleneck tokens: every modality attends with the same ones, and what comes out of all is
    averaged for the next layer. They are learned, as in the paper; SFT's comparison starts them at zero and hands them
    from modality to modality, at the same cost. One head reads every CLS, and the logits are averaged.
    """

    def __init__(self, shape: Shape, *, n_before: int = 7, n_after: int = 5, n_bottlenecks: int = 4) -> None:
        super().__init__(shape)
        self.n_bottlenecks = n_bottlenecks
        self.bottlenecks = nn.Parameter(0.02 * torch.randn(1, n_bottlenecks, self.width))
        self.streams = self.stacks(n_before)
        self.layers = nn.ModuleList([self.stack(len(shape.lengths)) for _ in range(n_after)])

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        streams = [through(blocks, x) for blocks, x in zip(self.streams, self.tokens(inputs), strict=True)]
        shared = self.bottlenecks.expand(len(inputs[0]), -1, -1)
        for layer in self.layers:
            joint = [block(torch.cat([x, shared], dim=1), None) for block, x in zip(layer, streams, strict=True)]
            streams = [x[:, : -self.n_bottlenecks] for x in joint]
            shared = torch.stack([x[:, -self.n_bottlenecks :] for x in joint]).mean(dim=0)
        return torch.stack([self.head(x[:, 0]) for x in streams]).mean(dim=0)

    def macs_by_part(self) -> dict[str, int]:
        lengths = [length + 1 for length in self.shape.lengths]
        return {
            "tokenizers": self.tokenizer_macs(),
            "unimodal": sum(stack_macs(blocks, n) for blocks, n in zip(self.streams, lengths, strict=True)),
            "fused": sum(
                stack_macs(blocks, n + self.n_bottlenecks) for *blocks, n in zip(*self.layers, lengths, strict=True)
            ),
            "head": len(lengths) * self.head_macs(),
        }


class SineTokenizer(nn.Module):
    """(b, L, in) to (b, L, d): a linear layer without bias, times the root of d, plus sines and cosines."""

    def __init__(self, length: int, in_width: int, width: int) -> None:
        super().__init__()
        self.length, self.scale = length, math.sqrt(width)
        self.project = nn.Linear(in_width, width, bias=False)
        half = width // 2
        angles = torch.arange(1, length + 1)[:, None] * torch.exp(-math.log(1e4) / (half - 1) * torch.arange(half))
        self.register_buffer("positions", torch.cat([angles.sin(), angles.cos()], dim=1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.project(x) + self.positions

    def macs(self) -> int:
        return self.length * self.project.weight.numel()


class MulT(nn.Module):
    """Multimodal transformer (Tsai et al., 2019): a stack of cross-modal blocks for each ordered pair of modalities.

    A target attends to the low-level tokens of a source in every block. Of its two sources the results, side by side,
    go through a self-attention encoder of width 2 d and at least three blocks; one step of each of the three encoders
    goes through a residual MLP of width 6 d to the outputs. All blocks have an MLP of ratio 4, all stacks a last norm.

    With `cls`, the variant in SFT's comparison: a learned CLS before each modality, so that its blocks have L_m + 1
    tokens, learned positions in place of sines, and the first step read in place of the last. All else stays.
    Its published MACs and parameters all agree with this; without a CLS (.3 to .4 % fewer MACs), or with a bias in the
    tokenizers (1687 for 1686 thousand parameters on VGG100), they do not.
    """

    def __init__(self, shape: Shape, *, width: int = 40, heads: int = 8, n_layers: int = 4, cls: bool = False) -> None:
        super().__init__()
        self.shape, self.width, self.cls = shape, width, cls
        options = {"heads": heads, "mlp_ratio": 4, "dropout": 0.0}
        sizes = list(zip(shape.lengths, shape.widths, strict=True))
        self.tokenizers = nn.ModuleList(
            [Tokenizer(*size, width, bias=False) if cls else SineTokenizer(*size, width) for size in sizes]
        )
        n = len(sizes)
        self.pairs = [(target, source) for target in range(n) for source in range(n) if target != source]
        self.crossmodal = nn.ModuleList(
            [nn.ModuleList([CrossAttentionBlock(width, **options) for _ in range(n_layers)]) for _ in self.pairs]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in self.pairs])
        wide = (n - 1) * width
        self.memories = nn.ModuleList(
            [nn.ModuleList([TransformerBlock(wide, **options) for _ in range(max(n_layers, 3))]) for _ in sizes]
        )
        self.memory_norms = nn.ModuleList([nn.LayerNorm(wide) for _ in sizes])
        self.mlp = nn.Sequential(nn.Linear(n * wide, n * wide), nn.ReLU(), nn.Linear(n * wide, n * wide))
        self.head = nn.Linear(n * wide, shape.n_outputs)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        low = [tokenize(x) for tokenize, x in zip(self.tokenizers, inputs, strict=True)]
        reached: list[list[Tensor]] = [[] for _ in low]
        for (target, source), blocks, norm in zip(self.pairs, self.crossmodal, self.norms, strict=True):
            x = low[target]
            for block in blocks:
                x = block(x, low[source], None)
            reached[target].append(norm(x))
        read = []
        for parts, blocks, norm in zip(reached, self.memories, self.memory_norms, strict=True):
            x = norm(through(blocks, torch.cat(parts, dim=2)))
            read.append(x[:, 0] if self.cls else x[:, -1])
        features = torch.cat(read, dim=1)
        return self.head(features + self.mlp(features))

    def macs_by_part(self) -> dict[str, int]:
        n = [length + self.cls for length in self.shape.lengths]
        pairs = zip(self.pairs, self.crossmodal, strict=True)
        return {
            "tokenizers": sum(tokenizer.macs() for tokenizer in self.tokenizers),
            "crossmodal": sum(block.macs(n[t], n[s]) for (t, s), blocks in pairs for block in blocks),
            "memories": sum(stack_macs(blocks, n_tokens) for blocks, n_tokens in zip(self.memories, n, strict=True)),
            "head": 2 * self.head.in_features**2 + self.head.weight.numel(),
        }

    def macs(self) -> int:
        return sum(self.macs_by_part().values())
