"""Maxout streams: their definition, published costs, and batches of one sample in training."""

import torch

from nasfuse.domain.modality import Modality
from nasfuse.nn.maxout import Maxout, maxout_stream


def test_each_output_is_the_largest_of_its_linear_maps():
    layer = Maxout(2, 2, n_pieces=3).double()
    with torch.no_grad():
        layer.project.weight.copy_(torch.tensor([[1, 0], [0, 1], [-1, -1], [2, 2], [0, 0], [-3, 0]]))
        layer.project.bias.copy_(torch.tensor([0, 0, 0, 0, 1, 0]))
    x = torch.tensor([[3.0, 5.0], [-1.0, -2.0]]).double()
    # first output: max(x0, x1, -x0 - x1); second: max(2 x0 + 2 x1, 1, -3 x0)
    assert layer(x).tolist() == [[5.0, 16.0], [3.0, 3.0]]


def test_macs_are_those_of_the_encoders_of_dynmm_on_mm_imdb():
    """10,292,224 MACs of the linear layers of its late-fusion expert are both encoders and a head of 1024 x 23."""
    text = maxout_stream(Modality("t", "vector", (300,)), depth=1, width=512, dropout=0.3, n_pieces=2, stem_width=None)
    image = maxout_stream(
        Modality("i", "vector", (4096,)), depth=0, width=512, dropout=0.3, n_pieces=2, stem_width=1024
    )
    total = text.macs(0, n_stages=1)[0] + image.macs(0, n_stages=0)[0]
    assert total + 1024 * 23 == 10_292_224


def test_a_batch_is_normalised_in_training_and_single_samples_by_running_statistics():
    stream = maxout_stream(Modality("v", "vector", (3,)), depth=1, width=4, dropout=0.0, n_pieces=2, stem_width=5)
    stream.train()
    values = stream(torch.randn(64, 3), None, n_stages=1).values[:, 0]
    assert torch.allclose(values.mean(dim=0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(values.std(dim=0, correction=0), torch.ones(4), atol=1e-2)
    one = torch.randn(1, 3)
    in_training = stream(one, None, n_stages=1).values
    assert torch.equal(in_training, stream.eval()(one, None, n_stages=1).values)
