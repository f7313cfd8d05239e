"""Container of one module per stream, for any stream names."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar, cast

from torch import nn

M = TypeVar("M", bound=nn.Module)


class PerStream(nn.Module, Generic[M]):
    """Modules by stream name.

    Unlike `nn.ModuleDict`, it accepts names such as `values`, `type` and `float`, which are attributes of modules.
    """

    def __init__(self, modules: Mapping[str, M]) -> None:
        """Registers each module under its name with a suffix that avoids collisions with attributes."""
        super().__init__()
        self.names = tuple(modules)
        for name, module in modules.items():
            self.add_module(self.key(name), module)

    def key(self, name: str) -> str:
        """Returns the name under which the module of stream `name` is registered."""
        return f"{name}_stream"

    def __getitem__(self, name: str) -> M:
        """Returns the module of stream `name`."""
        return cast(M, self._modules[self.key(name)])

    def __iter__(self) -> Iterator[str]:
        """Yields the names, in order."""
        return iter(self.names)

    def __len__(self) -> int:
        """Returns the number of streams."""
        return len(self.names)
