"""The device that a network is to run on, by its name."""

import torch

from nasfuse.errors import InvalidInputError, counted


def device_of(device: str | torch.device, *, called: str = "device") -> torch.device:
    """Returns the device of a name: `cpu`, `cuda`, `cuda:1`, ..., or `auto`, a GPU if there is one.

    Args:
        device: The name, or a device of torch.
        called: Name of the argument or option in messages.

    Raises:
        InvalidInputError: There is no such device here.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not isinstance(device, str | torch.device):
        raise InvalidInputError(f"{called} must be a name or a torch.device, got {device!r}; use cpu, cuda or auto")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InvalidInputError(f"{called} {device}: there is no such device; use cpu, cuda or auto") from error
    if chosen.type not in ("cpu", "cuda"):
        raise InvalidInputError(f"{called} {device}: only cpu and cuda are supported; use one of them or auto")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InvalidInputError(
            f"{called} {device}: torch sees {counted(torch.cuda.device_count(), 'GPU')} here; use cpu or auto"
        )
    return chosen
