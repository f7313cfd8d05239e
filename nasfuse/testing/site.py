"""The conformance suite of site operators, by which a main stream takes in features of others."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from nasfuse.cost import count_operators
from nasfuse.nn.places import Line, Taken
from nasfuse.nn.residual_blocks import Grid
from nasfuse.nn.sites import SiteOperator
from nasfuse.nn.sites.sites import Site, Sites
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.testing.suite import ModuleSuite, assert_restored, assert_seeded, randomise

Names = tuple[str, ...]

#: Features of the main stream, and of the others.
WIDTH = 8
OTHERS = {"a": 8, "values": 3}

#: Real tokens of four samples.
LENGTHS = {"main": [5, 2, 6, 1], "a": [5, 4, 6, 3], "values": [2, 6, 0, 1]}

#: Builds the operator for a main stream of `width` features and others by name: `make_operator(width, others)`.
MakeOperator = Callable[[int, Mapping[str, int]], SiteOperator]


class SiteSuite(ModuleSuite):
    """What holds for every operator of a fusion at sites.

    The tokens and the width of the main stream, any part of the other streams, independence of a sample from its batch
    and its padding, MACs that equal the count, gradients, weights by seed, and the state dictionary.

    Example:
        A module of tests for an operator of another package::

            class TestMaximum(SiteSuite):
                @pytest.fixture
                def make_operator(self):
                    return lambda width, others: SiteMaximum(width, others)
    """

    @pytest.fixture
    def make_operator(self) -> MakeOperator:
        """Override: builds the operator from the width of the main stream and those of the others, without dropout."""
        raise NotImplementedError("override the fixture make_operator of SiteSuite")

    @pytest.mark.parametrize("names", [("a",), ("values",), ("a", "values")])
    def test_result_has_the_tokens_of_the_main_stream(self, make_operator: MakeOperator, names: Names) -> None:
        main, others = _tokens()
        result = _take(make_operator(WIDTH, OTHERS), main, {name: others[name] for name in names})
        assert result.values.shape == main.values.shape
        assert result.mask is main.mask
        assert not torch.allclose(result.values, main.values)

    def test_sample_depends_neither_on_its_batch_nor_on_padding(self, make_operator: MakeOperator) -> None:
        operator = make_operator(WIDTH, OTHERS).eval()
        randomise(operator, 0.3)
        main, others = _tokens()
        together = _take(operator, main, others).masked()
        garbage = {name: _other_padding(one) for name, one in others.items()}
        assert torch.allclose(_take(operator, main, garbage).masked(), together, atol=1e-5)
        for row, length in enumerate(LENGTHS["main"]):
            alone = {name: _alone(one, row, LENGTHS[name][row]) for name, one in others.items()}
            result = _take(operator, _alone(main, row, length), alone)
            assert torch.allclose(result.values[0], together[row, :length], atol=1e-5), f"sample {row}"

    @pytest.mark.parametrize("names", [("a",), ("a", "values")])
    @pytest.mark.parametrize(
        ("grid", "other"), [((4, 3), (4, 3)), ((4, 3), (2, 2)), ((3, 2), (7, 5)), ((3, 2), (1, 1))]
    )
    def test_closed_form_of_macs_equals_the_count_on_maps(
        self, make_operator: MakeOperator, names: Names, grid: Grid, other: Grid
    ) -> None:
        operator = make_operator(WIDTH, OTHERS).eval()
        sites, line = _sites(operator, names)
        values = [torch.randn(1, grid[0] * grid[1], WIDTH)]
        values += [torch.randn(1, other[0] * other[1], OTHERS[name]) for name in names]
        own, theirs = (Extent(size[0] * size[1], size) for size in (grid, other))
        macs = sites.macs(line, own, dict.fromkeys(names, theirs))
        module = _Positional(sites, line, names, grid, other)
        assert sum(count_operators(module, tuple(values)).values()) == macs

    def test_gradient_reaches_every_stream_and_every_parameter(self, make_operator: MakeOperator) -> None:
        operator = make_operator(WIDTH, OTHERS)
        randomise(operator, 0.3)
        main, others = _tokens()
        streams = {name: one.with_values(one.values.requires_grad_()) for name, one in {"main": main, **others}.items()}
        result = _take(operator, streams["main"], {name: streams[name] for name in others}).masked()
        (result * torch.randn_like(result)).sum().backward()  # type: ignore[no-untyped-call]
        for name, one in streams.items():
            assert one.values.grad is not None and one.values.grad.abs().sum() > 0, name
        for name, parameter in operator.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name

    def test_weights_depend_on_the_seed_alone(self, make_operator: MakeOperator) -> None:
        assert_seeded(lambda: make_operator(WIDTH, OTHERS))

    def test_state_dictionary_restores_the_operator(self, make_operator: MakeOperator) -> None:
        main, others = _tokens()
        assert_restored(lambda: make_operator(WIDTH, OTHERS), lambda operator: _take(operator, main, others).values)


def _sites(operator: SiteOperator, names: Names) -> tuple[Sites, Line]:
    return Sites("main", [Site(0, dict.fromkeys(names, 0))], [operator]), Line("main", (Taken(0, names),))


def _take(operator: SiteOperator, main: Tokens, others: Mapping[str, Tokens]) -> Tokens:
    """Returns the tokens of the main stream after a site with the operator."""
    sites, line = _sites(operator, tuple(others))
    return sites.take(line, main, others)


def _tokens() -> tuple[Tokens, dict[str, Tokens]]:
    """Returns four masked samples of the main stream and of the others."""
    found = {}
    for name, width in {"main": WIDTH, **OTHERS}.items():
        mask = torch.arange(6) < torch.tensor(LENGTHS[name])[:, None]
        found[name] = Tokens(torch.randn(4, 6, width), mask)
    return found["main"], {name: found[name] for name in OTHERS}


def _other_padding(tokens: Tokens) -> Tokens:
    assert tokens.mask is not None
    return tokens.with_values(
        torch.where(tokens.mask[..., None], tokens.values, 100 * torch.randn(tokens.values.shape))
    )


def _alone(tokens: Tokens, row: int, length: int) -> Tokens:
    assert tokens.mask is not None
    shown = max(length, 1)
    return Tokens(tokens.values[[row], :shown], tokens.mask[[row], :shown])


class _Positional(nn.Module):
    """Takes the maps of the streams as tensors one by one, as tracing wants them."""

    def __init__(self, sites: Sites, line: Line, names: Names, grid: Grid, other: Grid) -> None:
        super().__init__()
        self.sites, self.line, self.names, self.grid, self.other = sites, line, names, grid, other

    def forward(self, main: Tensor, *others: Tensor) -> Tensor:
        read = {name: Tokens(one, None, self.other) for name, one in zip(self.names, others, strict=True)}
        return self.sites.take(self.line, Tokens(main, None, self.grid), read).values
