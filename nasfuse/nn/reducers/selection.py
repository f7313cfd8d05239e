"""Selection of the tokens with the highest scores; the others are replaced by their weighted mean."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.nn.attention import Seen
from nasfuse.nn.auxiliary_loss import HasAuxiliaryLosses
from nasfuse.nn.packing import HasPackedWeights, Packings
from nasfuse.nn.reducers.base import Reducer, compact, kept_of, n_kept, take
from nasfuse.nn.reducers.pooling import attended
from nasfuse.nn.tokens import Extent, Tokens


def top(scores: Tensor, mask: Tensor | None, counts: Tensor) -> Tensor:
    """Returns the mask (b, t) of the `counts` (b,) real tokens of each sample with the highest `scores` (b, t)."""
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    ranks = torch.argsort(torch.argsort(scores, dim=1, descending=True, stable=True), dim=1)
    return ranks < counts[:, None]


class _Selection(Reducer):
    """Keeps the ceil(keep_ratio n) - 1 tokens with the highest scores, in their order, and the mean of the others.

    The mean is weighted. If only one token is left, it is the weighted mean of all tokens.
    """

    def left(self, extent: Extent, ratio: float) -> Extent:
        """Returns ceil(ratio n) tokens."""
        return Extent(n_kept(extent.n_tokens, ratio), n_cls=extent.n_cls)

    def _select(self, tokens: Tokens, values: Tensor, scores: Tensor, weights: Tensor) -> Tokens:
        """Returns the selected tokens and the weighted mean of the others.

        Args:
            tokens: Tokens to reduce.
            values: Values of the tokens that are selected, shape (b, t, d).
            scores: Scores of the tokens, shape (b, t).
            weights: Weights of the other tokens in their mean, not negative, shape (b, t).
        """
        counts, lengths = kept_of(tokens, self.ratio), tokens.lengths()
        fuses = counts < lengths  # false for short samples that keep all their tokens
        kept = top(scores, tokens.mask, torch.where(fuses, counts - 1, counts))
        rest = weights.masked_fill(kept if tokens.mask is None else kept | ~tokens.mask, 0.0)
        fused = (rest / rest.sum(dim=1, keepdim=True).clamp_min(1e-12))[:, None] @ tokens.values
        n_places = n_kept(tokens.values.shape[1], self.ratio)
        places, real = compact(torch.cat([kept, fuses[:, None]], dim=1), n_places)
        left = take(torch.cat([values, fused], dim=1), places)
        sizes = None
        if tokens.sizes is not None:
            of_rest = tokens.sizes.masked_fill(kept, 0.0).sum(dim=1, keepdim=True)
            sizes = torch.cat([tokens.sizes, of_rest], dim=1).gather(1, places)
        return Tokens(left, None if tokens.mask is None else real, cls=tokens.cls, sizes=sizes)


class TopK(_Selection):
    """Selects the tokens with the highest attention of CLS; the others are fused, weighted by it (EViT).

    EViT is by Liang et al. (2022). Unlike there, the number of kept tokens includes the fused one, so that all reducers
    keep the same number.
    """

    used_untrained = True

    def reduce(self, tokens: Tokens, seen: Seen | None) -> Tokens:
        """Returns the tokens with the highest attention and the fused token."""
        assert seen is not None, "comes after attention"
        saliency = attended(seen)
        return self._select(tokens, tokens.values, saliency, saliency)

    def own_macs(self, extent: Extent, left: Extent) -> int:
        """Returns t d for one row of attention and t d for the fused token."""
        return 2 * extent.n_tokens * self.width


class GumbelTopK(_Selection, HasAuxiliaryLosses, HasPackedWeights):
    """Selects the tokens with the highest scores of a small network, with Gumbel noise on the scores in training.

    The scores are those of DynamicViT (Rao et al., 2021): a token is projected to features of its own and features that
    are averaged over the sample, and an MLP d -> d/2 -> d/4 -> 1 computes the score. In DynamicViT, training masks a
    random number of tokens, which saves no computation, and tokens that are not selected are dropped. Here training
    keeps as many tokens as inference (Gumbel top-k, Kool et al., 2019), with the straight-through gradient of
    sigmoid(score), and the other tokens are fused, weighted by sigmoid(score), so that their scores have a gradient,
    too. The ratio loss keeps the mean of sigmoid(score) near the keep ratio.

    Attributes:
        ratio_loss: Mean over samples of (mean sigmoid(score) - keep_ratio)^2 in the last pass in training mode; None
            before the first one.
    """

    ratio_loss: Tensor | None

    def __init__(self, keep_ratio: float, inference_keep_ratio: float | None = None, *, width: int) -> None:
        """Builds the scoring network for features of `width`."""
        super().__init__(keep_ratio, inference_keep_ratio, width=width)
        n_half, n_quarter = _parts(width)
        self.n_own = n_half
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 2 * n_half)
        self.score = nn.Sequential(
            nn.Linear(2 * n_half, n_half), nn.GELU(), nn.Linear(n_half, n_quarter), nn.GELU(), nn.Linear(n_quarter, 1)
        )
        self.ratio_loss = None

    def reduce(self, tokens: Tokens, seen: Seen | None) -> Tokens:
        """Returns the tokens with the highest scores and the fused token."""
        projected = F.gelu(self.project(self.norm(tokens.values)))
        own, others = projected[..., : self.n_own], projected[..., self.n_own :]
        whole = Tokens(others, tokens.mask).mean()[:, None].expand_as(others)
        scores = self.score(torch.cat([own, whole], dim=2))[..., 0]
        scores = scores if scores.dtype == torch.float64 else scores.float()  # bfloat16 has ties
        chance, values = scores.sigmoid(), tokens.values
        if self.training:
            self.ratio_loss = (Tokens(chance[..., None], tokens.mask).mean() - self.keep_ratio).square().mean()
            scores = scores - torch.empty_like(scores).exponential_().log()
            values = values * (1 + (chance - chance.detach()))[..., None]  # 1, with the gradient of the chance
        return self._select(tokens, values, scores, chance)

    def take_losses(self) -> dict[str, Tensor]:
        """Returns the loss `ratio` of the last pass in training mode, and forgets it."""
        loss, self.ratio_loss = self.ratio_loss, None
        return {} if loss is None else {"ratio": loss}

    def packings(self) -> Packings:
        """Returns the packings of the features of a token and those that are averaged over the sample."""
        both = ((2, self.n_own),)
        return {"project.weight": {0: both}, "project.bias": {0: both}, "score.0.weight": {1: both}}

    def own_macs(self, extent: Extent, left: Extent) -> int:
        """Returns the multiply-accumulates of the scoring network, and t d for the fused token."""
        n_half, n_quarter = _parts(self.width)
        scoring = self.width * 2 * n_half + 2 * n_half * n_half + n_half * n_quarter + n_quarter
        return extent.n_tokens * (scoring + self.width)


def _parts(width: int) -> tuple[int, int]:
    """Returns a half and a quarter of `width`, at least 1."""
    return max(width // 2, 1), max(width // 4, 1)
