"""Selection against its definition: which tokens stay, and what becomes of the others."""

import pytest
import torch

from nasfuse.nn.attention import Seen
from nasfuse.nn.reducers import build_reducer
from nasfuse.nn.tokens import Tokens

WIDTH = 8


@pytest.fixture
def seen():
    """CLS attends to token i the more the larger its first feature is."""

    def make(tokens):
        cls = torch.zeros(len(tokens.values), WIDTH)
        cls[:, 0] = 3.0
        return Seen(tokens.values, tokens.values, cls, tokens.mask, None, 1)

    return make


@pytest.mark.parametrize("length", [1, 2, 5, 8])
@pytest.mark.parametrize("ratio", [0.1, 0.4, 0.9])
def test_top_k_keeps_what_is_attended_to_and_fuses_the_rest(seen, length, ratio):
    tokens = Tokens(torch.randn(1, 8, WIDTH), (torch.arange(8) < length)[None])
    reduced = build_reducer("top_k", ratio, width=WIDTH)(tokens, seen(tokens))
    values = tokens.values[0, :length]
    saliency = seen(tokens).saliency()[0, :length]
    count = max(-(-length * round(100 * ratio) // 100), 1)
    assert int(reduced.mask.sum()) == count
    if count == length:
        assert torch.equal(reduced.values[0, :count], values)
        return
    chosen = sorted(saliency.argsort(descending=True)[: count - 1].tolist())
    rest = [place for place in range(length) if place not in chosen]
    fused = (saliency[rest, None] * values[rest]).sum(0) / saliency[rest].sum()
    assert torch.allclose(reduced.values[0, : count - 1], values[chosen])
    assert torch.allclose(reduced.values[0, count - 1], fused, atol=1e-6)


def test_a_single_remaining_token_is_the_weighted_mean_of_all(seen):
    tokens = Tokens(torch.randn(2, 8, WIDTH))
    reduced = build_reducer("top_k", 0.01, width=WIDTH)(tokens, seen(tokens))
    expected = (seen(tokens).saliency()[..., None] * tokens.values).sum(dim=1, keepdim=True)
    assert torch.allclose(reduced.values, expected, atol=1e-6)


def test_gumbel_keeps_the_best_scores_and_draws_in_training_only():
    reducer = build_reducer("gumbel", 0.5, width=WIDTH).eval()
    tokens = Tokens(torch.randn(4, 8, WIDTH))
    first = reducer(tokens, None).values
    assert torch.equal(first, reducer(tokens, None).values)
    for row in range(4):  # tokens themselves, in their order, and the mean of the others last
        places = [place for kept in first[row] for place in (tokens.values[row] == kept).all(dim=1).nonzero().flatten()]
        assert len(places) == 3
        assert places == sorted(places)
    reducer.train()
    draws = {tuple(reducer(tokens, None).values[0, :, 0].tolist()) for _ in range(20)}
    assert len(draws) > 1


def test_gumbel_learns_which_token_matters():
    # The label is the sign of one marked token's feature among seven of noise; one token may stay beside the mean.
    reducer = build_reducer("gumbel", 1 / 4, width=WIDTH)
    head = torch.nn.Linear(WIDTH, 1)
    optimizer = torch.optim.Adam([*reducer.parameters(), *head.parameters()], lr=0.02)

    def batch(n):
        values = 0.3 * torch.randn(n, 8, WIDTH)
        place, label = torch.randint(8, (n,)), torch.randint(2, (n,)).float()
        values[torch.arange(n), place, 0] += 2.0
        values[torch.arange(n), place, 1] += 4 * label - 2
        return Tokens(values), place, label

    for _ in range(350):
        tokens, _, label = batch(64)
        logits = head(reducer(tokens, None).values.mean(dim=1))[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, label) + 2 * reducer.ratio_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokens, place, _ = batch(200)
    kept = reducer.eval()(tokens, None).values[:, 0]
    assert (kept == tokens.values[torch.arange(200), place]).all(dim=1).float().mean() > 0.9


def test_the_ratio_loss_is_the_distance_of_the_mean_chance_from_the_ratio():
    reducer = build_reducer("gumbel", 0.25, width=WIDTH)
    for parameter in reducer.score.parameters():
        torch.nn.init.zeros_(parameter)  # every chance is a half
    reducer(Tokens(torch.randn(3, 8, WIDTH), torch.arange(8) < torch.tensor([[0], [2], [8]])), None)
    assert torch.allclose(reducer.ratio_loss, torch.tensor((0.25**2 + 0.25**2 + 0.25**2) / 3))
