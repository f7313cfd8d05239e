"""Expected MACs: the mean over samples, each at its own lengths."""

import pytest
import torch
from torch import nn

from nasfuse.cost import count_network, count_parameters, expected_macs
from nasfuse.cost.network_macs import sample_macs
from nasfuse.nn import build_network


def test_without_lengths_every_sample_costs_the_same(make_config, dataset):
    config = make_config({"v": "mlp", "i": "conv"}, fusion="sum")
    network = build_network(config, dataset.modalities, dataset.task)
    assert expected_macs(network, dataset) == network.macs({})


@pytest.mark.parametrize("encoder", ["transformer", "conv"])
def test_true_lengths_are_counted_sample_by_sample(make_config, dataset, encoder):
    config = make_config({"s": encoder, "q": "transformer"}, fusion="cross_attention", stride=2)
    network = build_network(config, dataset.modalities, dataset.task).eval()
    # Samples of equal lengths cost the same, so one of them is counted. Alone in its batch, nothing is padded.
    counted = {}
    costs = []
    for split in (dataset.train, dataset.val):
        for row, length in enumerate(split.lengths("s").tolist()):
            if length not in counted:
                counted[length] = count_network(network, split.batch(torch.tensor([row]), names=("s", "q")))
            costs.append(counted[length])
    assert len(set(costs)) > 1
    assert expected_macs(network, dataset) == round(sum(costs) / len(costs))


def test_a_flat_sequence_costs_its_padding(make_config, dataset):
    network = build_network(make_config({"s": "mlp"}), dataset.modalities, dataset.task)
    assert expected_macs(network, dataset) == network.macs({"s": 11})


def test_the_formula_of_a_whole_network(make_config, modalities, task):
    # v: 6 x 8 stem, one stage of 2 x 8 x 16. s: 6 tokens (stride 2) of 2 x 5 x 16, attention of d 16, then 3 tokens and
    # an MLP of rho 2. Concat of 8 + 16 to 8, one joint stage, head of 8 x 4.
    config = make_config({"v": "mlp", "s": "transformer"}, fusion="concat", stride=2)
    network = build_network(config, list(modalities.values()), task)
    vector = 6 * 8 + 2 * 8 * 16
    sequence = 6 * 2 * 5 * 16 + 4 * 6 * 16**2 + 2 * 6**2 * 16 + 2 * 2 * 3 * 16**2
    assert network.macs({"s": 11}) == vector + sequence + 24 * 8 + 2 * 8 * 16 + 8 * 4


def test_frozen_numbers_are_no_parameters(make_config, modalities, task):
    network = build_network(make_config({"v": "mlp"}, depth=1), list(modalities.values()), task)
    before = count_parameters(network)
    assert before == (6 * 8 + 8) + (2 * 8 + 8 * 16 + 16 + 16 * 8 + 8) + (2 * 8) + (8 * 4 + 4)
    network.branch.head.out.weight.requires_grad_(False)
    assert count_parameters(network) == before - 8 * 4
    assert isinstance(network.branch.head.out, nn.Linear)


class TestRouted:
    ROUTES = ("v", "v+s", "v+s+q")

    @pytest.fixture
    def network(self, make_recipe, dataset):
        encoders = {"v": "mlp", "s": "conv", "q": "transformer"}
        recipe = make_recipe(encoders=encoders, placement=2, router={"routes": list(self.ROUTES), "width": 4})
        return build_network(recipe.network, dataset.modalities, dataset.task).eval()

    @pytest.fixture
    def alone(self, make_config, dataset):
        """The routes as static networks."""
        encoders = ({"v": "mlp"}, {"v": "mlp", "s": "conv"}, {"v": "mlp", "s": "conv", "q": "transformer"})
        fusions = (None, "concat", "concat")
        configs = [make_config(one, fusion=kind, placement=2) for one, kind in zip(encoders, fusions, strict=True)]
        return [build_network(config, dataset.modalities, dataset.task) for config in configs]

    def test_a_route_costs_what_it_costs_without_a_router(self, network, alone, dataset):
        costs = [expected_macs(network, dataset, route=number) for number in range(3)]
        assert costs == [expected_macs(one, dataset) for one in alone]
        assert costs == sorted(costs)
        assert expected_macs(network, dataset) == costs[0], "the least it can cost"
        assert expected_macs(network, dataset, route=-1) == costs[2]
        network.always = 1
        assert expected_macs(network, dataset) == costs[1], "all samples take it"

    def test_every_sample_at_its_own_lengths(self, network, dataset):
        table = sample_macs(network.route_macs, network, dataset.val, dataset)
        assert table.shape == (len(dataset.val), 3)
        assert table.dtype == torch.int64
        lengths = dataset.val.lengths("s").tolist()
        assert table.tolist() == [network.route_macs({"s": length, "q": 9}) for length in lengths]
        for row in range(0, len(dataset.val), 5):
            batch = dataset.val.batch(torch.tensor([row]), names=network.stream_names)
            assert table[row].tolist() == [count_network(network, batch, route=number) for number in range(3)]

    def test_formulas_are_asked_once_per_length(self, network, dataset):
        asked = []

        def figures(lengths):
            asked.append(lengths["s"])
            return network.static_macs(lengths)

        sample_macs(figures, network, dataset.train, dataset)
        assert sorted(asked) == sorted(set(dataset.train.lengths("s").tolist()))

    def test_without_lengths_all_samples_are_alike(self, make_recipe, dataset):
        recipe = make_recipe(encoders={"v": "mlp", "i": "conv"}, placement=2, router={"routes": ["v", "v+i"]})
        network = build_network(recipe.network, dataset.modalities, dataset.task)
        table = sample_macs(network.static_macs, network, dataset.val, dataset)
        assert table.tolist() == [network.static_macs({})] * len(dataset.val)
