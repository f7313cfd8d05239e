"""Every encoder and fusion under every attention kernel of this machine, and on inputs that are not contiguous."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from nasfuse.nn import build_network
from nasfuse.nn.attention import Windows, attend, attend_in_windows
from nasfuse.nn.equilibrium import EquilibriumLayer, Gradient, Picard, StoppingRule
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.reducers import REDUCERS

#: Left to itself, torch chooses among these.
KERNELS = [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]
ENCODERS = {"s": "transformer", "i": "transformer"}


def works(kernel):
    query = torch.randn(1, 1, 2, 8)
    with sdpa_kernel(kernel):
        try:
            torch.nn.functional.scaled_dot_product_attention(query, query, query)
        except RuntimeError:
            return False
    return True


AVAILABLE = [kernel for kernel in KERNELS if works(kernel)]


@pytest.fixture(params=AVAILABLE, ids=[kernel.name for kernel in AVAILABLE])
def kernel(request):
    with sdpa_kernel(request.param):
        yield request.param


def test_there_are_kernels_to_compare():
    assert SDPBackend.MATH in AVAILABLE
    assert len(AVAILABLE) > 1


def outputs_and_gradients(network, batch):
    inputs = {name: x.clone().requires_grad_() if x.is_floating_point() else x for name, x in batch.inputs.items()}
    logits = network(inputs, batch.masks)
    torch.manual_seed(0)
    wanted = [x for x in inputs.values() if x.requires_grad] + list(network.parameters())
    grads = torch.autograd.grad((logits * torch.randn_like(logits)).sum(), wanted, allow_unused=True)
    return [logits, *(grad for grad in grads if grad is not None)]


def agree(network, batch):
    """The same on this kernel as on the one that torch chooses."""
    found = outputs_and_gradients(network, batch)
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        expected = outputs_and_gradients(network, batch)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("n_cls", [0, 1])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("windows", [None, Windows(3), Windows(4, 2), Windows(20)])
def test_attention_with_heads_of_one_feature_and_more(kernel, windows, heads, masked, n_cls):
    query, key, value = (torch.randn(2, 8 + n_cls, 4, requires_grad=True) for _ in range(3))
    mask = torch.arange(8 + n_cls) < torch.tensor([[8 + n_cls], [5]]) if masked else None

    def attended(q, k, v):
        if windows is None:
            return attend(q, k, v, heads=heads, mask=mask)
        return attend_in_windows(q, k, v, heads=heads, mask=mask, sizes=None, windows=windows, n_cls=n_cls)

    out = attended(query, key, value)
    grads = torch.autograd.grad(out.square().sum(), (query, key, value))
    strange = [x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_() for x in (query, key, value)]
    again = attended(*strange)
    others = torch.autograd.grad(again.square().sum(), strange)
    for one, other in zip((out, *grads), (again, *others), strict=True):
        assert torch.isfinite(one).all()
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("readout", ["mean", "cls"])
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("kind", REDUCERS)
def test_streams_with_every_reducer(kernel, kind, window, readout, make_config, make_batch, modalities, task):
    config = make_config(
        ENCODERS, fusion="sum", placement=2, width=4, window=window, readout=readout, reducer=(kind, 0.5)
    )
    streams = {name: one.model_copy(update={"heads": 4}) for name, one in config.streams.items()}
    network = build_network(config.model_copy(update={"streams": streams}), list(modalities.values()), task).eval()
    agree(network, make_batch(ENCODERS, n_samples=2, lengths={"s": [11, 4]}))


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("heads", [1, 4])
def test_every_fusion(kernel, fusion, heads, make_config, make_batch, modalities, task):
    config = make_config({**ENCODERS, "v": "mlp"}, fusion=fusion, width=4, reducer=("merge", 0.5))
    if hasattr(config.fusion, "heads"):
        config = config.model_copy(update={"fusion": config.fusion.model_copy(update={"heads": heads})})
    network = build_network(config, list(modalities.values()), task).eval()
    agree(network, make_batch(["s", "i", "v"], n_samples=2, lengths={"s": [11, 4]}))


@pytest.mark.parametrize("form", ["conv", "transformer"])
@pytest.mark.parametrize("reads", ["inputs", "cheapest_stream"])
def test_routers(kernel, reads, form, make_config, make_batch, modalities, task):
    config = make_config(ENCODERS, fusion="joint_tokens", width=4).to_plain()
    router = {"routes": ["s", "s+i"], "reads": reads, "form": form, "width": 4}
    network = build_network(type(make_config(ENCODERS, fusion="sum")).parse({**config, "router": router}),
                            list(modalities.values()), task).eval()  # fmt: skip
    agree(network, make_batch(ENCODERS, n_samples=4, lengths={"s": [11, 4, 7, 1]}))


def in_other_order(x):
    """The same values, laid out in memory with the axes reversed."""
    axes = tuple(reversed(range(x.dim())))
    return x.permute(axes).contiguous().permute(axes)


@pytest.mark.parametrize("encoder", ["mlp", "conv", "transformer"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_inputs_that_are_not_contiguous(fusion, encoder, make_config, make_batch, modalities, task):
    config = make_config({"s": encoder, "i": encoder, "q": encoder}, fusion=fusion, width=4, reducer=("average", 0.25))
    network = build_network(config, list(modalities.values()), task).eval()
    batch = make_batch(["s", "i", "q"], n_samples=2, lengths={"s": [11, 4], "q": [2, 9]})
    layouts = [
        {name: in_other_order(x) for name, x in batch.inputs.items()},
        {**batch.inputs, "i": batch.inputs["i"].contiguous(memory_format=torch.channels_last)},
    ]
    masks = {name: in_other_order(mask) for name, mask in batch.masks.items()}
    for inputs in layouts:
        assert torch.allclose(network(inputs, masks), network(batch.inputs, batch.masks), atol=1e-5)
    same = {name: x[:1].expand_as(x) for name, x in batch.inputs.items()}
    masks = {name: mask[:1].expand_as(mask) for name, mask in batch.masks.items()}
    rows = network(same, masks)
    assert torch.allclose(rows[0], rows[1], atol=1e-5)


@pytest.mark.parametrize("coupled", [False, True])
def test_equilibria_of_features_that_are_not_contiguous(coupled):
    layer = EquilibriumLayer(
        2,
        16,
        coupled=coupled,
        gate="tanh",
        start="inputs",
        solver=Picard(),
        gradient=Gradient(),
        rule=StoppingRule(1e-3, 5),
        spectral_bound=None,
    )
    features = [torch.randn(3, 16) for _ in range(2)]
    strange = [in_other_order(x).requires_grad_() for x in features]
    out = layer(strange)
    out.backward(torch.ones(1, 1).expand_as(out))
    assert torch.allclose(out, layer(features), atol=1e-5)
