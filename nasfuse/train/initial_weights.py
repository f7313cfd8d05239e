"""Fine-tuning: the start of a training from the weights of another network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from nasfuse.errors import InvalidInputError
from nasfuse.nn.branch import Branch
from nasfuse.nn.decoder import Decoder
from nasfuse.nn.fixed_stem import FixedStem
from nasfuse.nn.fusion.late import Late
from nasfuse.nn.head import IdentityHead, LinearHead
from nasfuse.nn.network import Network, StreamNetwork

#: Number of names that a message lists.
_MOST_LISTED = 4


@dataclass(frozen=True)
class InitialWeights:
    """Weights of a trained network from which the training of another one starts.

    Weights and fixed buffers whose names, shapes and number types agree are taken. Fixed stems and heads are taken as a
    whole or not at all, and a head only if it predicts the same.

    Attributes:
        origin: Name of the network in messages.
        fingerprint: Hash of its file, part of the identity of trainings that start from it.
        state: Its `state_dict`.
        has_same_outputs: Whether its outputs have the same meaning as those of the new network.
    """

    origin: str
    fingerprint: str
    state: Mapping[str, Tensor]
    has_same_outputs: bool

    def give(self, network: Network) -> None:
        """Copies what agrees into `network`, which keeps its other weights.

        Raises:
            InvalidInputError: No weight agrees.
        """
        network.load_state_dict(self.matching(network), strict=False)

    def matching(self, network: Network) -> dict[str, Tensor]:
        """Returns the weights and buffers that `network` takes, by name.

        Raises:
            InvalidInputError: No weight agrees.
        """
        own = network.state_dict()
        # Entries of the network itself are its threshold and the calibration of its router, which are set anew.
        found = {name: value for name, value in self.state.items() if "." in name and _agrees(value, own.get(name))}
        left_out = [] if self.has_same_outputs else list(_paths_of_outputs(network))
        left_out += [
            path
            for path, module in network.named_modules()
            if isinstance(module, FixedStem | LinearHead)
            and any(name not in found for name in own if name.startswith(f"{path}."))
        ]
        taken = {name: value for name, value in found.items() if not name.startswith(tuple(f"{p}." for p in left_out))}
        if not taken.keys() & dict(network.named_parameters()).keys():
            raise InvalidInputError(
                f"no weight of {self.origin} has the name and the shape of one of the recipe's network; name a network "
                "with the same streams, or train without --init"
            )
        return taken

    def summary(self, network: Network) -> str:
        """Returns one sentence with the numbers of weights that `network` takes, and the names of the others.

        Raises:
            InvalidInputError: No weight agrees.
        """
        taken, own = self.matching(network), dict(network.named_parameters())
        new = [name for name in own if name not in taken]
        n_taken = sum(own[name].numel() for name in own if name in taken)
        total = sum(parameter.numel() for parameter in own.values())
        more = f" and {len(new) - _MOST_LISTED} more" if len(new) > _MOST_LISTED else ""
        rest = f"; new are {', '.join(new[:_MOST_LISTED])}{more}" if new else ""
        if new and not self.has_same_outputs:
            rest += " (the targets are others)"
        return (
            f"{n_taken:,} of {total:,} weights ({len(own) - len(new)} of {len(own)} arrays) start from {self.origin}"
            f"{rest}"
        )


def _agrees(value: Tensor, own: Tensor | None) -> bool:
    return own is not None and value.shape == own.shape and value.dtype == own.dtype


def _paths_of_outputs(network: Network) -> Iterator[str]:
    """Yields the modules whose results are outputs of the network: heads, and streams without one."""
    paths: dict[nn.Module, str] = {module: path for path, module in network.named_modules()}
    yield from (path for module, path in paths.items() if isinstance(module, LinearHead))
    decoders = [path for module, path in paths.items() if isinstance(module, Decoder)]
    yield from (f"{path}.{part}" for path in decoders for part in ("out", "up"))
    if not isinstance(network, StreamNetwork):
        return
    for branch in (module for module in network.modules() if isinstance(module, Branch)):
        heads = dict.fromkeys(branch.route.n_stages, branch.head) if branch.fusion is None else {}
        if isinstance(branch.fusion, Late):
            own = branch.fusion.heads.heads
            heads = {name: own[name] for name in own}
        for name, head in heads.items():
            if isinstance(head, IdentityHead):
                yield paths[network.streams[name]]
