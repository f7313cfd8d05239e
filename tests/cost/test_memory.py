"""Activation memory: counted once per storage, per sample, and without side effects."""

import torch
from torch import Tensor, nn

from nasfuse.cost import activation_bytes, saved_bytes
from nasfuse.data import Batch
from nasfuse.nn import build_network


class TwoLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 2)

    def forward(self, inputs: dict[str, Tensor], masks: dict[str, Tensor], *, present: dict[str, Tensor]) -> Tensor:
        hidden = torch.relu(self.first(inputs["x"]))
        return self.second(hidden) + self.second(hidden)


def test_tensors_saved_for_backward_are_counted_once():
    # Backward needs the input (first layer), and relu's output (relu and, twice, the second layer); no weights.
    batch = Batch({"x": torch.randn(3, 4)}, {}, torch.zeros(3))
    assert activation_bytes(TwoLayers(), batch) == 4 * (4 + 8)


def test_any_module_can_be_measured_and_views_of_one_storage_count_once():
    project = nn.Linear(4, 6)

    def call(x):
        first, second = project(x).chunk(2, dim=1)
        return first * second

    with torch.no_grad():  # which the measurement overrules
        found = saved_bytes(project, lambda: call(torch.randn(5, 4)))
    assert found == 5 * 4 * (4 + 6)


def test_it_is_per_sample_and_grows_with_the_network(make_config, modalities, make_batch, task):
    def size(n_samples, *, reducer=("max", 1.0), **options):
        config = make_config({"s": "transformer"}, reducer=reducer, **options)
        network = build_network(config, list(modalities.values()), task)
        return activation_bytes(network, make_batch(["s"], n_samples=n_samples))

    # What does not depend on the samples (positions, say) is shared among them.
    assert size(2) >= size(16) > 0.9 * size(2)
    assert size(4, depth=4) > 1.5 * size(4, depth=2)
    assert size(4, width=16) > 1.5 * size(4, width=8)
    assert size(4, reducer=("max", 0.25)) < size(4)


def test_mode_gradients_and_generator_stay_as_they_were(make_config, modalities, make_batch, task):
    config = make_config({"v": "mlp", "s": "conv"}, fusion="gated", dropout=0.5)
    network = build_network(config, list(modalities.values()), task).eval()
    batch = make_batch(["v", "s"])
    before = torch.get_rng_state()
    with torch.no_grad():
        assert activation_bytes(network, batch) > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_excluded_tensors_are_not_counted() -> None:
    """A linear layer saves its input, 5 x 4 floats; what is given as `apart` is left out."""
    project, inputs = nn.Linear(4, 3), torch.randn(5, 4)
    assert saved_bytes(project, lambda: project(inputs)) == 5 * 4 * 4
    assert saved_bytes(project, lambda: project(inputs), apart=[inputs]) == 0
