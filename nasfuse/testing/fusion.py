"""The conformance suite of fusion operators."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from nasfuse.cost import count_operators
from nasfuse.nn.fusion import Fusion
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.testing.suite import DEVICES, ModuleSuite, assert_restored, assert_seeded, randomise

#: Features of the streams; one of them shares its name with a method of mappings.
WIDTHS = {"a": 4, "b": 3, "values": 4}

#: Tokens of the streams.
N_TOKENS = {"a": 3, "b": 1, "values": 2}

#: Real tokens of four samples in every stream; the third sample has some in one stream only.
LENGTHS = {"a": [4, 1, 0, 6], "b": [2, 5, 3, 6], "values": [4, 3, 0, 6]}

#: Builds the operator for streams of `widths` with `n_joint` joint stages: `make_fusion(widths, n_joint=1)`.
MakeFusion = Callable[..., Fusion]


class FusionSuite(ModuleSuite):
    """What holds for every fusion operator.

    Shapes, right gradients, independence of a sample from its batch and its padding, CLS tokens and token sizes, MACs
    that equal the count, any stream names, weights by seed, the state dictionary, dtype and device.

    Example:
        A module of tests for an operator of another package::

            class TestMaximum(FusionSuite):
                @pytest.fixture
                def make_fusion(self):
                    return lambda widths, *, n_joint: Maximum(widths, width=8, n_joint=n_joint)
    """

    @pytest.fixture
    def make_fusion(self) -> MakeFusion:
        """Override: builds the operator from stream widths and `n_joint`, without dropout."""
        raise NotImplementedError("override the fixture make_fusion of FusionSuite")

    @pytest.mark.parametrize("n_joint", [0, 1, 3])
    def test_output_is_one_vector_per_sample(self, make_fusion: MakeFusion, n_joint: int) -> None:
        fusion = make_fusion(WIDTHS, n_joint=n_joint)
        assert fusion(_states()).shape == (2, fusion.out_width)

    @pytest.mark.parametrize("masked", [False, True])
    def test_gradients_are_right(self, make_fusion: MakeFusion, masked: bool) -> None:
        fusion = make_fusion(WIDTHS, n_joint=1).double()
        states = _states(masked=masked, dtype=torch.float64)
        # Initial weights have zeros (CLS) and tiny numbers; random ones of size 1/2 test every path.
        named = {name: 0.5 * torch.randn_like(p) for name, p in fusion.named_parameters()}

        def fuse(*tensors: Tensor) -> Tensor:
            parameters = dict(zip(named, tensors[len(states) :], strict=True))
            tokens = {name: state.with_values(x) for (name, state), x in zip(states.items(), tensors, strict=False)}
            fused: Tensor = functional_call(fusion, parameters, (tokens,))
            return fused

        values = [state.values.requires_grad_() for state in states.values()]
        weights = [tensor.requires_grad_() for tensor in named.values()]
        assert torch.autograd.gradcheck(fuse, [*values, *weights], fast_mode=True)

    def test_gradient_reaches_every_stream_and_every_parameter(self, make_fusion: MakeFusion) -> None:
        fusion = make_fusion(WIDTHS, n_joint=1)
        randomise(fusion, 0.3)
        states = {name: state.with_values(state.values.requires_grad_()) for name, state in _states().items()}
        fused = fusion(states)
        (fused * torch.randn_like(fused)).sum().backward()
        for name, state in states.items():
            assert state.values.grad is not None and state.values.grad.abs().sum() > 0, f"stream {name}"
        for name, parameter in fusion.named_parameters():
            assert parameter.grad is not None, name

    def test_padding_is_never_read(self, make_fusion: MakeFusion) -> None:
        fusion = make_fusion(WIDTHS, n_joint=1).eval()
        states = _states_of(LENGTHS)
        changed = {}
        for name, state in states.items():
            assert state.mask is not None
            garbage = torch.where(state.mask[..., None], state.values, 1000 * torch.randn_like(state.values))
            changed[name] = state.with_values(garbage)
        assert torch.allclose(fusion(states), fusion(changed), atol=1e-5)

    def test_sample_depends_neither_on_its_batch_nor_on_its_padding(self, make_fusion: MakeFusion) -> None:
        fusion = make_fusion(WIDTHS, n_joint=1).eval()
        states = _states_of(LENGTHS)
        together = fusion(states)
        assert torch.allclose(fusion(_states_of(LENGTHS, padding=3)), together, atol=1e-5)
        for row in range(len(together)):
            alone = {}
            for name, state in states.items():
                assert state.mask is not None
                shown = max(LENGTHS[name][row], 1)
                alone[name] = Tokens(state.values[[row], :shown], state.mask[[row], :shown])
            assert torch.allclose(fusion(alone)[0], together[row], atol=1e-5), f"sample {row}"

    def test_full_mask_is_no_mask(self, make_fusion: MakeFusion) -> None:
        fusion = make_fusion(WIDTHS, n_joint=1).eval()
        plain = _states()
        masked = {name: Tokens(one.values, torch.ones(one.values.shape[:2]).bool()) for name, one in plain.items()}
        assert torch.allclose(fusion(masked), fusion(plain), atol=1e-5)

    def test_outputs_and_gradients_are_finite_for_samples_without_any_token(self, make_fusion: MakeFusion) -> None:
        for lengths in ([0, 2], [0]):
            fusion = make_fusion(WIDTHS, n_joint=1)
            states = _states_of(dict.fromkeys(WIDTHS, lengths))
            states = {name: state.with_values(state.values.requires_grad_()) for name, state in states.items()}
            fused = fusion(states)
            fused.sum().backward()
            assert torch.isfinite(fused).all()
            gradients = [state.values.grad for state in states.values()] + [p.grad for p in fusion.parameters()]
            assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)

    def test_cls_tokens_and_sizes_are_read(self, make_fusion: MakeFusion) -> None:
        fusion = make_fusion(WIDTHS, n_joint=1).eval()
        randomise(fusion, 0.3)
        n_samples = 16  # an activation may be off in most of them
        plain = {name: Tokens(torch.randn(n_samples, 3, width)) for name, width in WIDTHS.items()}
        sizes = torch.tensor([[5.0, 1.0, 1.0], [1.0, 1.0, 2.0]]).repeat(n_samples // 2, 1)
        sized = {**plain, "a": Tokens(plain["a"].values, sizes=sizes)}
        changes = (fusion(sized) - fusion(plain)).abs().amax(dim=1)
        assert (changes > 1e-5).double().mean() > 0.25, "sizes are not read"
        cls = torch.randn(n_samples, WIDTHS["a"], requires_grad=True)
        fusion({**plain, "a": Tokens(plain["a"].values, cls=cls)}).square().sum().backward()
        assert cls.grad is not None, "CLS is not read"
        assert (cls.grad.abs().amax(dim=1) > 1e-6).double().mean() > 0.25, "CLS is not read"

    @pytest.mark.parametrize("n_cls", [0, 1])
    @pytest.mark.parametrize("n_tokens", [N_TOKENS, {"a": 7, "b": 3, "values": 5}])
    def test_closed_form_of_macs_equals_the_count(
        self, make_fusion: MakeFusion, n_tokens: Mapping[str, int], n_cls: int
    ) -> None:
        fusion = make_fusion(WIDTHS, n_joint=2).eval()
        values = tuple(torch.randn(1, n_cls + n_tokens[name], width) for name, width in WIDTHS.items())
        macs = fusion.macs({name: Extent(n, n_cls=n_cls) for name, n in n_tokens.items()})
        assert isinstance(macs, int)
        assert sum(count_operators(_Positional(fusion, n_cls), values).values()) == macs

    def test_macs_never_fall_with_more_tokens(self, make_fusion: MakeFusion) -> None:
        fusion = make_fusion(WIDTHS, n_joint=1)
        few, many = (fusion.macs({name: Extent(n + more) for name, n in N_TOKENS.items()}) for more in (0, 5))
        assert 0 <= few <= many

    def test_any_stream_names_can_be_fused(self, make_fusion: MakeFusion) -> None:
        names = ["values", "type", "float", "items", "training", "state_dict", "a-b", "_x", "stream", "x_stream"]
        widths = {name: 3 + position % 2 for position, name in enumerate(names)}
        fusion = make_fusion(widths, n_joint=1)
        assert fusion({name: Tokens(torch.randn(2, 2, width)) for name, width in widths.items()}).shape == (
            2,
            fusion.out_width,
        )
        assert set(fusion.state_dict()) >= {name for name, _ in fusion.named_parameters()}

    def test_weights_depend_on_the_seed_alone(self, make_fusion: MakeFusion) -> None:
        assert_seeded(lambda: make_fusion(WIDTHS, n_joint=1))

    def test_state_dictionary_restores_the_operator(self, make_fusion: MakeFusion) -> None:
        states = _states(masked=True)
        assert_restored(lambda: make_fusion(WIDTHS, n_joint=1), lambda fusion: fusion(states))

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_output_has_the_dtype_and_device_of_the_inputs(
        self, make_fusion: MakeFusion, dtype: torch.dtype, device: str
    ) -> None:
        fusion = make_fusion(WIDTHS, n_joint=1).to(device=device, dtype=dtype)
        states = {
            name: Tokens(state.values.to(device), None if state.mask is None else state.mask.to(device))
            for name, state in _states(masked=True, dtype=dtype).items()
        }
        fused = fusion(states)
        assert (fused.dtype, fused.device.type) == (dtype, device)


def _states(*, masked: bool = False, dtype: torch.dtype = torch.float32) -> dict[str, Tokens]:
    """Returns two samples; `masked` pads the first stream."""
    states = {}
    for name, width in WIDTHS.items():
        mask = torch.tensor([[True, True, False], [True, False, False]]) if masked and name == "a" else None
        states[name] = Tokens(torch.randn(2, N_TOKENS[name], width, dtype=dtype), mask)
    return states


def _states_of(lengths: Mapping[str, list[int]], *, padding: int = 0) -> dict[str, Tokens]:
    """Returns samples of `lengths` real tokens, whose values do not depend on the `padding` beside what they need."""
    generator = torch.Generator().manual_seed(0)
    states = {}
    for name, width in WIDTHS.items():
        values = torch.randn(len(lengths[name]), 9, width, generator=generator)
        mask = torch.arange(max(*lengths[name], 1) + padding) < torch.tensor(lengths[name])[:, None]
        states[name] = Tokens(values[:, : mask.shape[1]], mask)
    return states


class _Positional(nn.Module):
    """Takes the tokens of the streams as tensors one by one, as tracing wants them; CLS is the first token."""

    def __init__(self, fusion: Fusion, n_cls: int) -> None:
        super().__init__()
        self.fusion, self.n_cls = fusion, n_cls

    def forward(self, *tensors: Tensor) -> Tensor:
        states = {
            name: Tokens(one[:, self.n_cls :], cls=one[:, 0] if self.n_cls else None)
            for name, one in zip(WIDTHS, tensors, strict=True)
        }
        fused: Tensor = self.fusion(states)
        return fused
