"""The option `--device` of commands that run networks."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

Device = Annotated[
    str, typer.Option(help="Device: cpu, cuda, cuda:1, ...; auto uses a GPU if there is one.", show_default=True)
]


def device_of(name: str) -> "torch.device":
    """Returns the device of the option `--device`.

    Raises:
        InvalidInputError: There is no such device here.
    """
    from nasfuse.prediction import device

    return device.device_of(name, called="--device")
