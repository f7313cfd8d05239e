"""What a machine needs to run trials of another one: the same packages, the run folder, and CUDA if asked for."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Requirements:
    """What a node must have to run trials of this process.

    Attributes:
        versions: Package, or `Python`, to its version here.
        probe: File in the run folder.
        content: Content of the file.
        needs_cuda: Whether trials use a GPU.
    """

    versions: Mapping[str, str]
    probe: Path
    content: str
    needs_cuda: bool


def versions_here() -> dict[str, str]:
    """Returns the versions that must be the same on all machines, by package; `Python` is one."""
    import torch

    import nasfuse

    python = ".".join(platform.python_version_tuple()[:2])  # pickles of functions hold byte code
    return {"Python": python, "torch": torch.__version__.split("+")[0], "nasfuse": nasfuse.__version__}


def problem_here(asked: Requirements) -> str | None:
    """Returns what this machine lacks for trials, in a phrase; None if it lacks nothing."""
    for package, version in versions_here().items():
        if version != asked.versions[package]:
            return (
                f"it has {package} {version}, and this search runs with {asked.versions[package]}; install that there"
            )
    folder = asked.probe.parent
    try:
        is_same = asked.probe.read_text(encoding="utf-8") == asked.content
    except OSError:
        is_same = False
    if not is_same:
        return f"it does not see the run folder {folder.parent}; put that on a file system that all nodes share (-o)"
    written = asked.probe.with_name(f"{asked.probe.name}-{platform.node()}-{os.getpid()}")
    try:
        written.write_text(asked.content, encoding="utf-8")
        written.unlink()
    except OSError as error:
        return f"it cannot write to the run folder {folder.parent}: {error.strerror}"
    if asked.needs_cuda:
        import torch

        if not torch.cuda.is_available():
            return "trials ask for a GPU, and torch finds no CUDA device there; install a torch with CUDA"
    return None
