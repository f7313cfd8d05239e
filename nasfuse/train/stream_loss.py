"""A loss for every stream of a fused network, beside the loss of the network."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nasfuse.nn.branch import Branch
from nasfuse.nn.fusion.late import Late
from nasfuse.nn.head import LinearHead, StreamHeads
from nasfuse.nn.network import StreamNetwork
from nasfuse.nn.tokens import Tokens


class StreamLoss(nn.Module):
    """(1 - s) loss + s mean_m loss_m, where loss_m is that of the outputs of stream m before a fusion.

    Late fusion has such outputs. Other fusions get a head for each of their streams, which is a part of this module,
    not of the network: it is trained with the network, and dropped at the end. In a network of several routes every
    fusion counts; routes of one stream have no loss beside their own.
    """

    def __init__(self, network: StreamNetwork, *, share: float, n_outputs: int) -> None:
        """Builds heads for the fusions of `network`; a `share` of 0 needs none.

        Weights are drawn from torch's current generator.
        """
        super().__init__()
        branches = [module for module in network.modules() if isinstance(module, Branch) and module.fusion is not None]
        self.share = share if branches else 0.0
        self._branches = branches if share > 0 else []
        self.heads = nn.ModuleList(
            _heads(network, branch, n_outputs) for branch in self._branches if not isinstance(branch.fusion, Late)
        )
        self._outputs: list[Tensor] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keeps the outputs of the streams of a forward pass inside the block, for `of`."""
        self._outputs.clear()
        own = iter(self.heads)
        with ExitStack() as hooks:
            for branch in self._branches:
                fusion = branch.fusion
                assert fusion is not None
                if isinstance(fusion, Late):
                    hooks.enter_context(fusion.heads.register_forward_hook(self._keep))
                else:
                    hooks.enter_context(fusion.register_forward_pre_hook(self._through(next(own))))
            yield

    def take_outputs(self) -> list[Tensor]:
        """Returns the outputs (b, n_outputs) of the streams in the pass that was listened to, and forgets them."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def of(self, loss: Tensor, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns the loss of a step.

        Args:
            loss: That of the network in the pass that was listened to.
            loss_of: From outputs (b, n_outputs) to their mean loss.
        """
        return self.weighted(loss, self.take_outputs(), loss_of)

    def weighted(self, loss: Tensor, outputs: Sequence[Tensor], loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns the loss of a step from the `outputs` (b, n_outputs) of the streams; see `of`."""
        if not outputs:
            return loss
        own = torch.stack([loss_of(one.float()) for one in outputs]).mean()
        return (1 - self.share) * loss + self.share * own

    def _keep(self, module: nn.Module, inputs: Any, outputs: Mapping[str, Tensor]) -> None:
        self._outputs += outputs.values()

    def _through(self, heads: nn.Module) -> Callable[[nn.Module, tuple[Mapping[str, Tokens]]], None]:
        def keep(module: nn.Module, inputs: tuple[Mapping[str, Tokens]]) -> None:
            self._outputs += heads(inputs[0]).values()

        return keep


def _heads(network: StreamNetwork, branch: Branch, n_outputs: int) -> StreamHeads:
    widths = {name: network.streams[name].out_width_at(n_stages) for name, n_stages in branch.route.n_stages.items()}
    return StreamHeads({name: LinearHead(width, n_outputs=n_outputs, dropout=0.0) for name, width in widths.items()})
