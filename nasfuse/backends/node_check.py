"""Check of the nodes of a cluster, before they get trials: the same packages, the run folder, and CUDA if asked for."""

import os
import platform
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nasfuse.errors import NasfuseError

#: Seconds that all nodes together have for their answers.
_LONGEST_S = 120.0

#: Label by which Ray selects a node.
_NODE_LABEL = "ray.io/node-id"


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


@dataclass(frozen=True)
class Nodes:
    """The nodes of a cluster.

    Attributes:
        fit: Identifiers of the nodes that can run trials, to their resources.
        unfit: Identifiers of the others, to a sentence about what they lack.
    """

    fit: Mapping[str, Mapping[str, float]]
    unfit: Mapping[str, str]

    @property
    def selector(self) -> dict[str, str]:
        """Returns the labels by which Ray leaves the unfit nodes out; none if all are fit."""
        return {_NODE_LABEL: f"!in({','.join(self.unfit)})"} if self.unfit else {}


def check_nodes(folder: Path, *, needs_cuda: bool) -> Nodes:
    """Returns which nodes of the connected cluster can run trials.

    Args:
        folder: Folder that all nodes should see, in the run folder; created if it does not exist.
        needs_cuda: Whether trials use a GPU.

    Raises:
        NasfuseError: No node can.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = secrets.token_hex(16)
    probe = folder.absolute() / f"probe-{content[:8]}"
    probe.write_text(content, encoding="utf-8")
    asked = Requirements(_versions(), probe, content, needs_cuda)
    alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    try:
        problems = _ask(asked, alive)
    finally:
        probe.unlink(missing_ok=True)
    names = {number: str(node["NodeManagerAddress"]) for number, node in alive.items()}
    unfit = {number: f"node {names[number]} is left out: {problem}" for number, problem in problems.items() if problem}
    fit = {number: alive[number]["Resources"] for number in alive if number not in unfit}
    if not fit:
        raise NasfuseError(f"no node of the cluster can run trials; {next(iter(unfit.values()), 'it has no nodes')}")
    return Nodes(fit, unfit)


def _versions() -> dict[str, str]:
    import torch

    import nasfuse

    python = ".".join(platform.python_version_tuple()[:2])  # pickles of functions hold byte code
    return {"Python": python, "torch": torch.__version__.split("+")[0], "nasfuse": nasfuse.__version__}


def _ask(asked: Requirements, alive: Mapping[str, Any]) -> dict[str, str | None]:
    """Returns the answer of every node: what it lacks, or None."""
    task = ray.remote(num_cpus=0, max_retries=0)(problem_here)
    answers = {
        number: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(number, soft=False)).remote(asked)
        for number in alive
    }
    ready, _ = ray.wait(list(answers.values()), num_returns=len(answers), timeout=_LONGEST_S)
    found: dict[str, str | None] = {}
    for number, answer in answers.items():
        if answer not in ready:
            found[number] = f"it has not answered for {_LONGEST_S:.0f} s"
            continue
        try:
            found[number] = ray.get(answer)
        except RayError as error:  # for example an import that fails there
            found[number] = f"nasfuse cannot be used there: {str(error.__cause__ or error).strip().splitlines()[-1]}"
    return found


def problem_here(asked: Requirements) -> str | None:
    """Returns what this machine lacks for trials, in a phrase; None if it lacks nothing."""
    for package, version in _versions().items():
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
