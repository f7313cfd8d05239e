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
    import torch

    from nasfuse.errors import InvalidInputError, counted

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise InvalidInputError(f"--device {name}: there is no such device; use cpu, cuda or auto") from error
    if chosen.type not in ("cpu", "cuda"):
        raise InvalidInputError(f"--device {name}: only cpu and cuda are supported; use one of them or auto")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InvalidInputError(
            f"--device {name}: torch sees {counted(torch.cuda.device_count(), 'GPU')} here; use cpu or auto"
        )
    return chosen
