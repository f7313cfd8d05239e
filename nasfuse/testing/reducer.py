"""The conformance suite of token reducers."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from nasfuse.cost import count_operators
from nasfuse.nn.attention import TransformerBlock
from nasfuse.nn.reducers import Reducer
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.testing.suite import DEVICES, ModuleSuite, assert_restored

#: Features of a token, heads of the attention before the reducer, tokens of the longest sample.
WIDTH, HEADS, LONGEST = 8, 2, 12

#: Shares of the tokens that are kept.
RATIOS = (0.01, 0.1, 0.25, 0.34, 0.5, 0.7, 0.99)

#: Builds the reducer: `make_reducer(keep_ratio)` or `make_reducer(keep_ratio, inference_keep_ratio)`.
MakeReducer = Callable[..., Reducer]


class ReducerSuite(ModuleSuite):
    """What holds for every reducer of `WIDTH` features after attention with `HEADS` heads.

    How many tokens each sample keeps, the order of real tokens and padding, an untouched CLS token, independence of a
    sample from its batch and its padding, MACs that equal the count, finite gradients, keep ratios that change after
    training, the state dictionary, dtype and device.

    Example:
        A module of tests for a reducer of another package::

            class TestEverySecond(ReducerSuite):
                @pytest.fixture
                def make_reducer(self):
                    return lambda *ratios: EverySecond(*ratios, width=nasfuse.testing.reducer.WIDTH)
    """

    @pytest.fixture
    def make_reducer(self) -> MakeReducer:
        """Override: builds the reducer from its keep ratio in training and, optionally, after it."""
        raise NotImplementedError("override the fixture make_reducer of ReducerSuite")

    @pytest.fixture
    def block(self) -> TransformerBlock:
        """The transformer block whose attention stands before the reducer."""
        return TransformerBlock(WIDTH, heads=HEADS, mlp_ratio=2, dropout=0.0)

    @pytest.mark.parametrize("cls", [False, True])
    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("ratio", RATIOS)
    def test_every_sample_keeps_its_share(
        self, make_reducer: MakeReducer, block: TransformerBlock, ratio: float, masked: bool, cls: bool
    ) -> None:
        reducer = make_reducer(ratio).eval()
        for n_tokens in range(1, LONGEST + 1):
            lengths = list(range(n_tokens + 1))
            tokens = _tokens(n_tokens, lengths=lengths if masked else None, cls=cls)
            mixed, seen = block.mix(tokens)
            reduced = reducer(mixed, seen)
            extent = reducer.extent(Extent(n_tokens, None, tokens.n_cls))
            assert extent == Extent(extent.n_tokens, None, tokens.n_cls)
            assert reduced.values.shape == (len(tokens.values), extent.n_tokens, WIDTH)
            assert 1 <= extent.n_tokens <= n_tokens
            assert reduced.cls is mixed.cls, "CLS is never touched"
            assert torch.isfinite(reduced.values).all()
            assert (reduced.mask is None) == (not masked)
            if reduced.mask is not None:
                alone = [reducer.extent(Extent(n)).n_tokens if n else 0 for n in lengths]
                assert reduced.mask.sum(dim=1).tolist() == alone, "a sample keeps as many tokens as it does alone"
                assert (reduced.mask.long().diff(dim=1) <= 0).all(), "real tokens stand before padding"

    @pytest.mark.parametrize("cls", [False, True])
    @pytest.mark.parametrize("ratio", RATIOS)
    def test_sample_is_reduced_as_it_is_alone(
        self, make_reducer: MakeReducer, block: TransformerBlock, ratio: float, cls: bool
    ) -> None:
        tokens, reducer = _tokens(LONGEST, lengths=range(LONGEST + 1), cls=cls), make_reducer(ratio).eval()
        together = reducer(*block.mix(tokens))
        for row in range(1, LONGEST + 1):
            own = Tokens(tokens.values[[row], :row], cls=tokens.cls[[row]] if tokens.cls is not None else None)
            alone = reducer(*block.mix(own))
            real = together.values[row] if together.mask is None else together.values[row][together.mask[row]]
            assert torch.allclose(alone.values[0], real, atol=1e-5)
            if alone.sizes is not None:
                assert torch.allclose(alone.sizes[0], together.sizes[row][together.mask[row]])

    def test_padding_is_never_read(self, make_reducer: MakeReducer, block: TransformerBlock) -> None:
        tokens, reducer = _tokens(LONGEST, lengths=[0, 1, 5, LONGEST]), make_reducer(0.3).eval()
        assert tokens.mask is not None
        garbage = torch.where(tokens.mask[..., None], tokens.values, 1e3 * torch.randn_like(tokens.values))
        first, second = (reducer(*block.mix(part)) for part in (tokens, tokens.with_values(garbage)))
        assert torch.equal(first.mask, second.mask)
        assert torch.allclose(first.masked(), second.masked(), atol=1e-5)

    @pytest.mark.parametrize("ratio", [0.05, 0.3, 0.7])
    @pytest.mark.parametrize("cls", [False, True])
    @pytest.mark.parametrize("training", [False, True])
    def test_closed_form_of_macs_equals_the_count(
        self, make_reducer: MakeReducer, block: TransformerBlock, training: bool, cls: bool, ratio: float
    ) -> None:
        reducer = make_reducer(ratio)
        module = _Positional(block, reducer, torch.randn(1, WIDTH) if cls else None).train(training)
        for n_tokens in (1, 2, 7, 12):
            counted = sum(count_operators(module, (torch.randn(1, n_tokens, WIDTH),)).values())
            own = reducer.macs(Extent(n_tokens, None, int(cls)))
            assert counted == block.attention.macs(n_tokens, int(cls)) + own, f"{n_tokens} tokens"

    def test_gradients_are_finite_with_and_without_any_token(
        self, make_reducer: MakeReducer, block: TransformerBlock
    ) -> None:
        tokens, reducer = _tokens(6, lengths=[0, 1, 2, 6]), make_reducer(0.4).train()
        values = tokens.values.requires_grad_()
        reduced = reducer(*block.mix(tokens))
        (reduced.masked() * torch.randn_like(reduced.values)).sum().backward()
        assert values.grad is not None
        assert torch.isfinite(values.grad).all()
        assert (values.grad[~tokens.mask] == 0).all()  # type: ignore[operator]
        parameters = [*reducer.parameters()]
        assert reducer.has_parameters == bool(parameters)
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in parameters)
        assert any(p.grad.abs().sum() > 0 for p in parameters) or not parameters  # type: ignore[union-attr]

    def test_ratio_of_a_reducer_without_parameters_can_change_after_training(
        self, make_reducer: MakeReducer, block: TransformerBlock
    ) -> None:
        reducer = make_reducer(0.5, 0.25)
        if reducer.has_parameters:
            pytest.skip("it learns for one keep ratio")
        mixed, seen = block.mix(_tokens(LONGEST))
        assert reducer.train()(mixed, seen).values.shape[1] == 6
        assert reducer.eval()(mixed, seen).values.shape[1] == 3
        assert reducer.extent(Extent(LONGEST)).n_tokens == 3
        reducer.inference_keep_ratio = 1.0
        assert reducer(mixed, seen) is mixed, "a ratio of one keeps every token without work"
        assert reducer(mixed, None) is mixed
        assert reducer.extent(Extent(LONGEST)) == Extent(LONGEST)
        assert reducer.macs(Extent(LONGEST)) == 0

    def test_state_dictionary_restores_the_reducer(self, make_reducer: MakeReducer, block: TransformerBlock) -> None:
        mixed, seen = block.mix(_tokens(LONGEST))
        assert_restored(lambda: make_reducer(0.3), lambda reducer: reducer(mixed, seen).values)

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_tokens_keep_their_dtype_and_device(
        self, make_reducer: MakeReducer, block: TransformerBlock, dtype: torch.dtype, device: str
    ) -> None:
        reducer = make_reducer(0.3).to(device=device, dtype=dtype)
        block = block.to(device=device, dtype=dtype)
        tokens = _tokens(LONGEST, lengths=[0, 1, 5, LONGEST]).each(lambda values: values.to(device, dtype))
        tokens = Tokens(tokens.values, tokens.mask.to(device), cls=tokens.cls)  # type: ignore[union-attr]
        for training in (True, False):
            reduced = reducer.train(training)(*block.mix(tokens))
            assert (reduced.values.dtype, reduced.values.device.type) == (dtype, device)


def _tokens(n_tokens: int, *, lengths: Sequence[int] | None = None, cls: bool = True) -> Tokens:
    """Returns random tokens of three samples, or of one sample for each of `lengths`."""
    n_samples = 3 if lengths is None else len(lengths)
    mask = None if lengths is None else torch.arange(n_tokens) < torch.tensor(list(lengths))[:, None]
    return Tokens(torch.randn(n_samples, n_tokens, WIDTH), mask, cls=torch.randn(n_samples, WIDTH) if cls else None)


class _Positional(nn.Module):
    """Attention and the reducer after it, for tokens given as one tensor, as tracing wants them."""

    def __init__(self, block: TransformerBlock, reducer: Reducer, cls: Tensor | None) -> None:
        super().__init__()
        self.block, self.reducer, self.cls = block, reducer, cls

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        mixed, seen = self.block.mix(Tokens(values, cls=self.cls))
        reduced = self.reducer(mixed, seen)
        return reduced.values, seen.query  # the query, so that tracing does not drop it as dead code
