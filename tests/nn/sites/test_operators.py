"""Operators of a fusion at sites: the conformance suite, formulas by hand, and the alignment of tokens."""

import pytest
import torch

from nasfuse.nn.sites import SITE_OPERATORS
from nasfuse.nn.sites.aligned import aligned, can_be_aligned
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.spec.sites import OPERATOR_OPTIONS, WITH_HEADS, SitesFusion
from nasfuse.testing import SiteSuite


def make(name, width, others):
    fusion = SitesFusion(kind="sites", operator=name, reduction=2)
    options = {option: getattr(fusion, option) for option in OPERATOR_OPTIONS[name]}
    return SITE_OPERATORS[name](width, others, **options, **({"heads": 2} if name in WITH_HEADS else {}))


@pytest.mark.parametrize("name", SITE_OPERATORS)
class TestSuite(SiteSuite):
    @pytest.fixture
    def make_operator(self, name):
        return lambda width, others: make(name, width, others)


def test_every_operator_of_a_recipe_can_be_built():
    assert SITE_OPERATORS.keys() == OPERATOR_OPTIONS.keys()


def pair(width=4, other=4):
    return Tokens(torch.randn(2, 6, width), None, (2, 3)), Tokens(torch.randn(2, 6, other), None, (2, 3))


def test_a_sum_of_equal_widths_has_no_weights():
    main, other = pair()
    operator = make("sum", 4, {"a": 4})
    assert torch.equal(operator(main, {"a": other}).values, main.values + other.values)
    assert list(operator.parameters()) == []


def test_a_concatenation_is_one_matrix_on_both():
    main, other = pair(other=3)
    operator = make("concat", 4, {"a": 3})
    matrix = torch.cat([operator.main.weight, operator.others["a"].weight], dim=1)
    expected = torch.cat([main.values, other.values], dim=2) @ matrix.T + operator.main.bias
    assert torch.allclose(operator(main, {"a": other}).values, expected, atol=1e-6)


def test_excitations_scale_each_stream_by_its_own_mean():
    main, other = pair()
    operator = make("se_add", 4, {"a": 4})

    def excited(x, layers):
        squeezed = torch.relu(x.mean(dim=1) @ layers[0].weight.T + layers[0].bias)
        return x * torch.sigmoid(squeezed @ layers[2].weight.T + layers[2].bias)[:, None]

    expected = excited(main.values, operator.main) + excited(other.values, operator.others["a"])
    assert torch.allclose(operator(main, {"a": other}).values, expected, atol=1e-6)
    assert operator.main[0].out_features == 2


class TestAlignment:
    def test_a_finer_map_is_averaged_and_a_coarser_one_repeated(self):
        main = Tokens(torch.zeros(1, 4, 1), None, (2, 2))
        fine = torch.arange(16.0).view(1, 16, 1)
        assert aligned(Tokens(fine, None, (4, 4)), main).values.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
        coarse = Tokens(torch.tensor([[[1.0], [2.0]]]), None, (2, 1))
        assert aligned(coarse, main).values.flatten().tolist() == [1, 1, 2, 2]

    def test_one_token_is_repeated_for_all(self):
        one = Tokens(torch.tensor([[[1.0, 2.0]]]))
        assert aligned(one, Tokens(torch.zeros(1, 3, 2), None, (3, 1)), is_single=True).values.tolist() == [
            [[1.0, 2.0]] * 3
        ]

    def test_sequences_are_aligned_by_their_first_token(self):
        main = Tokens(torch.zeros(1, 3, 1), torch.tensor([[True, True, False]]))
        longer = aligned(Tokens(torch.tensor([[[1.0], [2.0], [3.0], [4.0]]])), main)
        assert longer.values.flatten().tolist() == [1, 2, 3]
        assert longer.mask.tolist() == [[True, True, False]]
        shorter = aligned(Tokens(torch.tensor([[[1.0], [9.0]]]), torch.tensor([[True, False]])), main)
        assert shorter.values.flatten().tolist() == [1, 0, 0]
        assert shorter.mask.tolist() == [[True, False, False]]

    @pytest.mark.parametrize(
        ("other", "main", "can"),
        [
            (Extent(12, (4, 3)), Extent(6, (3, 2)), True),
            (Extent(1), Extent(6, (3, 2)), True),
            (Extent(6), Extent(6, (3, 2)), False),
            (Extent(7), Extent(7), True),
            (Extent(8), Extent(7), False),
        ],
    )
    def test_what_corresponds(self, other, main, can):
        assert can_be_aligned(other, main) == can
