"""The nodes of a cluster: each is asked what it lacks before it gets trials, also one that joins during a search."""

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nasfuse.backends.node_check import Requirements, problem_here, versions_here
from nasfuse.errors import NasfuseError

#: Seconds that a node has for its answer.
_LONGEST_S = 120.0

#: Seconds between two looks at the list of nodes.
_INTERVAL_S = 1.0

#: Label by which Ray selects a node.
_NODE_LABEL = "ray.io/node-id"


@dataclass
class _Node:
    """A living node; its answer is due until `deadline`, and `problem` is what it lacks, once it has answered."""

    address: str
    resources: Mapping[str, float]
    answer: Any
    deadline: float
    is_asked: bool = False
    problem: str | None = None

    @property
    def is_fit(self) -> bool:
        return self.is_asked and self.problem is None


class ClusterNodes:
    """Asks the nodes of the connected cluster what they lack, and says which of them can run trials."""

    def __init__(self, asked: Requirements) -> None:
        """Asks all nodes that are there; their answers are awaited by `wait`.

        Args:
            asked: What nodes must have. Its probe file must stay where it is as long as nodes may join.
        """
        self._asked = asked
        self._nodes: dict[str, _Node] = {}
        self._unsaid: list[str] = []
        self._look_at = 0.0
        self._wanted: tuple[int, tuple[str, ...]] = (0, ())
        self._requests: list[PlacementGroup] = []
        self._look()

    def wait(self) -> None:
        """Returns when all nodes have answered or their time is over.

        Raises:
            NasfuseError: No node can run trials.
        """
        while pending := [node for node in self._nodes.values() if not node.is_asked]:
            left = max(max(node.deadline for node in pending) - time.monotonic(), 0.0)
            ray.wait([node.answer for node in pending], num_returns=len(pending), timeout=left)
            self._collect()
        if not self.fit:
            raise NasfuseError(f"no node of the cluster can run trials; {next(iter(self._unsaid), 'it has no nodes')}")

    def update(self) -> list[str]:
        """Asks nodes that have joined, forgets those that are gone, and returns what nodes lack, once for each.

        Returns at once: a node that has not answered yet is not fit.
        """
        if time.monotonic() >= self._look_at:
            self._look()
            self._collect()
        said, self._unsaid = self._unsaid, []
        return said

    def look_again(self) -> None:
        """Lets the next `update` look at the list of nodes at once, as one may have died."""
        self._look_at = 0.0

    @property
    def fit(self) -> list[Mapping[str, float]]:
        """Resources of the nodes that can run trials."""
        return [node.resources for node in self._nodes.values() if node.is_fit]

    @property
    def selector(self) -> dict[str, str]:
        """Labels by which Ray leaves out the nodes that cannot run trials; none if all can."""
        return _all_but(number for number, node in self._nodes.items() if not node.is_fit)

    def request(self, count: int, bundle: Mapping[str, float]) -> None:
        """Lets a cluster that scales by itself add nodes for `count` more trials; replaces the last request.

        The request ends with this process. It is made of placement groups that no present node can hold, and given up
        when a node joins, which is then asked before it gets a trial.

        Args:
            count: Trials for which there is no room.
            bundle: Resources of a trial.
        """
        wanted = (count, tuple(sorted(self._nodes)))
        if wanted == self._wanted:
            return
        self._wanted = wanted
        for request in self._requests:
            remove_placement_group(request)
        selector = _all_but(self._nodes)
        self._requests = [placement_group([dict(bundle)], bundle_label_selector=[selector]) for _ in range(count)]

    def _look(self) -> None:
        """Asks nodes that have joined, and forgets those that are gone."""
        now = time.monotonic()
        self._look_at = now + _INTERVAL_S
        alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        self._nodes = {number: node for number, node in self._nodes.items() if number in alive}
        for number in alive.keys() - self._nodes.keys():
            resources, address = alive[number]["Resources"], str(alive[number]["NodeManagerAddress"])
            self._nodes[number] = _Node(address, resources, self._ask(number), now + _LONGEST_S)

    def _ask(self, number: str) -> Any:
        there = NodeAffinitySchedulingStrategy(number, soft=False)
        task = ray.remote(num_cpus=0, max_retries=0)(problem_here)
        return task.options(scheduling_strategy=there).remote(self._asked)

    def _collect(self) -> None:
        """Notes the answers that have come, and the nodes whose time for one is over."""
        for node in self._nodes.values():
            if node.is_asked:
                continue
            if ray.wait([node.answer], timeout=0)[0]:
                node.is_asked, node.problem = True, _problem(node.answer)
            elif time.monotonic() >= node.deadline:
                node.is_asked, node.problem = True, f"it has not answered for {_LONGEST_S:.0f} s"
            if node.problem is not None:
                self._unsaid.append(f"node {node.address} is left out: {node.problem}")


def _problem(answer: Any) -> str | None:
    try:
        return ray.get(answer)  # type: ignore[no-any-return]
    except RayError as error:  # for example an import that fails there
        return f"nasfuse cannot be used there: {str(error.__cause__ or error).strip().splitlines()[-1]}"


def _all_but(numbers: Iterator[str] | Mapping[str, Any]) -> dict[str, str]:
    """Returns the labels by which Ray selects all nodes but these."""
    joined = ",".join(numbers)
    return {_NODE_LABEL: f"!in({joined})"} if joined else {}


@contextmanager
def checked_nodes(folder: Path, *, needs_cuda: bool) -> Iterator[ClusterNodes]:
    """Yields the nodes of the connected cluster, which have been asked what they lack.

    Args:
        folder: Folder that all nodes should see, in the run folder; created if it does not exist.
        needs_cuda: Whether trials use a GPU.

    Raises:
        NasfuseError: No node can run trials.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = secrets.token_hex(16)
    probe = folder.absolute() / f"probe-{content[:8]}"
    probe.write_text(content, encoding="utf-8")
    try:
        nodes = ClusterNodes(Requirements(versions_here(), probe, content, needs_cuda))
        nodes.wait()
        yield nodes
    finally:
        probe.unlink(missing_ok=True)
