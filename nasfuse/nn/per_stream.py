"""One module per stream, whatever the streams are called."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar, cast

from torch import nn

M = TypeVar("M", bound=nn.Module)


class PerStream(nn.Module, Generic[M]):
    """Modules by stream name.

    Unlike `nn.ModuleDict` it takes any name: `values`, `type` and `float` are attributes of every module,
    so a stream of that name could not be stored there.
    """

    def __init__(self, modules: Mapping[str, M]) -> None:
        """Registers each of `modules` under its name with a suffix that no attribute of a module has."""
        super().__init__()
        self.names = tuple(modules)
        for name, module in modules.items():
            self.add_module(f"{name}_stream", module)

    def __getitem__(self, name: str) -> M:
        """Returns the module of stream `name`."""
        return cast(M, self._modules[f"{name}_stream"])

    def __iter__(self) -> Iterator[str]:
        """Yields the names, in order."""
        return iter(self.names)

    def __len__(self) -> int:
        """Number of streams."""
        return len(self.names)
