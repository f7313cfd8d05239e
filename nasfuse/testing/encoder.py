"""The conformance suite of encoders: the stream of one modality."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from nasfuse.cost import count_operators
from nasfuse.domain.modality import Modality
from nasfuse.nn.stream import Stream
from nasfuse.nn.tokens import Tokens
from nasfuse.testing.inputs import length_mask, random_inputs
from nasfuse.testing.suite import DEVICES, ModuleSuite, assert_restored, assert_seeded, randomise

#: Builds the encoder for a modality with `depth` stages: `make_encoder(modality, depth=2)`.
MakeEncoder = Callable[..., Stream]


class EncoderSuite(ModuleSuite):
    """What holds for every encoder.

    The number of tokens, the output vector, stages that do not run, independence of a sample from its batch and its
    padding, sequences without any step, MACs that equal the count, gradients, weights by seed, the state dictionary,
    dtype and device. An encoder may have fewer stages than it is asked for, or none.

    Example:
        A module of tests for an encoder of another package::

            class TestRecurrent(EncoderSuite):
                @pytest.fixture(params=[nasfuse.testing.inputs.SEQUENCE], ids=str)
                def modality(self, request):
                    return request.param

                @pytest.fixture
                def make_encoder(self):
                    return lambda modality, *, depth: recurrent_stream(modality, depth=depth, width=8)
    """

    @pytest.fixture
    def modality(self) -> Modality:
        """Override: the modalities that the encoder takes, one per test, see `nasfuse.testing.inputs`."""
        raise NotImplementedError("override the fixture modality of EncoderSuite")

    @pytest.fixture
    def make_encoder(self) -> MakeEncoder:
        """Override: builds the encoder from a modality and `depth`, its number of stages, without dropout."""
        raise NotImplementedError("override the fixture make_encoder of EncoderSuite")

    @pytest.mark.parametrize("n_stages", [0, 1, 2])
    def test_extent_is_that_of_the_tokens(self, make_encoder: MakeEncoder, modality: Modality, n_stages: int) -> None:
        encoder = make_encoder(modality, depth=2).eval()
        n_stages = min(n_stages, len(encoder.stages))
        for length in _lengths(modality):
            inputs = random_inputs(modality, 3)[:, : length or None]
            mask = None if length is None else torch.ones(3, length).bool()
            tokens = encoder(inputs, mask, n_stages=n_stages)
            _, extent = encoder.macs(length or 0, n_stages=n_stages)
            assert tokens.values.shape == (3, extent.n_tokens, encoder.width_at(n_stages))
            assert tokens.grid == extent.grid
            assert tokens.n_cls == extent.n_cls
            assert tokens.vector().shape == (3, encoder.out_width_at(n_stages))

    def test_stages_beyond_the_asked_ones_do_not_run(self, make_encoder: MakeEncoder, modality: Modality) -> None:
        encoder = make_encoder(modality, depth=3)
        ran = []
        for number, stage in enumerate(encoder.stages):
            stage.register_forward_hook(lambda *_, number=number: ran.append(number))
        for n_stages in range(len(encoder.stages) + 1):
            ran.clear()
            encoder(random_inputs(modality, 2), None, n_stages=n_stages)
            assert ran == list(range(n_stages))

    def test_sample_depends_neither_on_its_batch_nor_on_its_padding(
        self, make_encoder: MakeEncoder, modality: Modality
    ) -> None:
        for depth in (0, 2):
            assert_samples_are_independent(make_encoder(modality, depth=depth), modality)

    def test_gradients_are_finite_also_for_sequences_without_any_step(
        self, make_encoder: MakeEncoder, modality: Modality
    ) -> None:
        encoder = make_encoder(modality, depth=2)
        mask = length_mask(modality, [0, 4, 0]) if modality.kind == "sequence" else None
        encoder(random_inputs(modality, 3), mask, n_stages=len(encoder.stages)).vector().sum().backward()
        gradients = [p.grad for p in encoder.parameters() if p.grad is not None]
        assert gradients
        assert all(torch.isfinite(gradient).all() for gradient in gradients)

    def test_gradient_reaches_every_parameter(self, make_encoder: MakeEncoder, modality: Modality) -> None:
        encoder = make_encoder(modality, depth=2)
        randomise(encoder, 0.3)
        tokens = encoder(random_inputs(modality, 3), None, n_stages=len(encoder.stages))
        outputs = [tokens.values, tokens.summary()]
        sum((one * torch.randn_like(one)).sum() for one in outputs).backward()
        for name, parameter in encoder.named_parameters():
            assert parameter.grad is not None, name

    def test_closed_form_of_macs_equals_the_count(self, make_encoder: MakeEncoder, modality: Modality) -> None:
        encoder, (longest, *shorter) = make_encoder(modality, depth=2), _lengths(modality)
        every = len(encoder.stages)
        cases = [*((longest, n_stages) for n_stages in range(every + 1)), *((length, every) for length in shorter)]
        for training, (length, n_stages) in [(True, cases[every]), *((False, case) for case in cases)]:
            inputs = random_inputs(modality, 1)[:, : length or None]
            mask = None if length is None else torch.ones(1, length).bool()
            module = _Positional(encoder.train(training), mask, n_stages)
            macs, _ = encoder.macs(length or 0, n_stages=n_stages)
            assert isinstance(macs, int)
            assert sum(count_operators(module, (inputs,)).values()) == macs, f"{n_stages} stages, length {length}"

    def test_sequence_without_any_step_costs_as_much_as_one_step(
        self, make_encoder: MakeEncoder, modality: Modality
    ) -> None:
        encoder = make_encoder(modality, depth=2)
        n_stages = len(encoder.stages)
        assert encoder.macs(0, n_stages=n_stages) == encoder.macs(1, n_stages=n_stages)

    def test_weights_depend_on_the_seed_alone(self, make_encoder: MakeEncoder, modality: Modality) -> None:
        assert_seeded(lambda: make_encoder(modality, depth=2))

    def test_state_dictionary_restores_the_encoder(self, make_encoder: MakeEncoder, modality: Modality) -> None:
        inputs = random_inputs(modality, 3)
        assert_restored(
            lambda: make_encoder(modality, depth=2),
            lambda encoder: encoder(inputs, None, n_stages=len(encoder.stages)).values,
        )

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_tokens_have_the_dtype_and_device_of_the_encoder(
        self, make_encoder: MakeEncoder, modality: Modality, dtype: torch.dtype, device: str
    ) -> None:
        encoder = make_encoder(modality, depth=2).to(device=device, dtype=dtype)
        inputs = random_inputs(modality, 3).to(device)
        mask = length_mask(modality, [1, 4, 2]).to(device) if modality.kind == "sequence" else None
        tokens = encoder(inputs.to(dtype) if inputs.is_floating_point() else inputs, mask, n_stages=len(encoder.stages))
        assert (tokens.values.dtype, tokens.values.device.type) == (dtype, device)


def assert_samples_are_independent(encoder: Stream, modality: Modality) -> None:
    """Asserts that all stages give a sample the same tokens in a batch as alone, whatever stands in its padding.

    A sequence is tested at every length from 0 steps, each of which is one sample of the batch; one of full length
    gives the same tokens without a mask.

    Args:
        encoder: Of any width and depth; it is put in evaluation mode.
        modality: That it was built for.
    """
    encoder.eval()
    n_stages = len(encoder.stages)
    lengths = list(range(modality.shape[0] + 1)) if modality.kind == "sequence" else [0] * 4
    inputs = random_inputs(modality, len(lengths))
    mask = length_mask(modality, lengths) if modality.kind == "sequence" else None
    with torch.no_grad():
        together = encoder(inputs, mask, n_stages=n_stages)
        assert torch.isfinite(together.values).all()
        if mask is not None:
            garbage = _other_padding(inputs, mask, modality)
            _assert_equal(encoder(garbage, mask, n_stages=n_stages), together, "what stands in the padding matters")
        for row, length in enumerate(lengths):
            shown = slice(None) if mask is None else slice(max(length, 1))
            alone = encoder(inputs[[row], shown], None if mask is None else mask[[row], shown], n_stages=n_stages)
            _assert_equal(alone, together.rows(torch.tensor([row])), f"the batch matters to a sample of {length} steps")
        if mask is not None:
            alone = encoder(inputs[-1:], None, n_stages=n_stages)
            _assert_equal(alone, together.rows(torch.tensor([-1])), "a full mask is not the same as no mask")


def _other_padding(inputs: Tensor, mask: Tensor, modality: Modality) -> Tensor:
    other = random_inputs(modality, len(inputs))
    if modality.vocabulary is None:
        other = 1000 * other
    return torch.where(mask.view(*mask.shape, *[1] * (inputs.dim() - 2)), inputs, other)


def _assert_equal(one: Tokens, other: Tokens, message: str) -> None:
    """Asserts that summaries, output vectors and real tokens are equal; `other` may have more padding."""
    assert torch.allclose(one.summary(), other.summary(), atol=1e-5), message
    assert torch.allclose(one.vector(), other.vector(), atol=1e-4), message
    assert torch.equal(one.lengths(), other.lengths()), message
    n_tokens = one.values.shape[1]
    shorter = replace(other, values=other.values[:, :n_tokens])
    if other.mask is not None:
        shorter = replace(shorter, mask=other.mask[:, :n_tokens])
    assert torch.allclose(one.masked(), shorter.masked(), atol=1e-5), message


def _lengths(modality: Modality) -> Iterable[int | None]:
    """Returns some lengths of a sequence, the longest included; None alone for other kinds."""
    return (modality.shape[0], 1, 2, 5) if modality.kind == "sequence" else (None,)


class _Positional(nn.Module):
    """Returns tensors for the input tensor alone, as tracing wants it."""

    def __init__(self, encoder: Stream, mask: Tensor | None, n_stages: int) -> None:
        super().__init__()
        self.encoder, self.mask, self.n_stages = encoder, mask, n_stages

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        tokens = self.encoder(inputs, self.mask, n_stages=self.n_stages)
        return (tokens.values,) if tokens.cls is None else (tokens.values, tokens.cls)
