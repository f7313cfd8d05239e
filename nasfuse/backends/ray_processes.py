"""The processes that Ray starts on this machine: no more than a search needs.

Ray has no arguments for this, so its own functions are replaced while it starts: only those of the version that is
known. With other versions Ray starts as it does by itself, which takes a few seconds longer.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from nasfuse.backends import agent_placeholder

# isort: split
import ray

#: Minor version of Ray whose functions are replaced.
_KNOWN = "2.60."

#: Names in `ray._raylet` of the ports that the raylet waits for; Ray's own agents write -1 where they offer no service.
_PORTS = (
    "DASHBOARD_AGENT_LISTEN_PORT_NAME",
    "METRICS_AGENT_PORT_NAME",
    "METRICS_EXPORT_PORT_NAME",
    "RUNTIME_ENV_AGENT_PORT_NAME",
)

_AGENTS = ("--dashboard_agent_command", "--runtime_env_agent_command")


def is_known_ray() -> bool:
    """Returns whether functions of the installed version of Ray can be replaced."""
    return bool(ray.__version__.startswith(_KNOWN))


@contextmanager
def few_processes() -> Iterator[None]:
    """Keeps `ray.init` from starting processes of Python that one machine does not need.

    These are the autoscaler, the monitor of logs and the server of the dashboard (`ray.init` has no arguments for
    them: the first two are parameters of `ray start`, and the server is started without a dashboard, too), and the
    agents of the dashboard and of runtime environments, for which the raylet waits before it accepts a driver. The two
    agents alone take 3.2 of 7.0 s of CPU time of a start with two workers (one measurement on two slow cores).
    """
    if not is_known_ray():
        yield
        return
    from ray._private import node, parameter, services  # names that other versions may not have

    parameters, start_api_server = parameter.RayParams, node.Node.start_api_server
    start_process = services.start_ray_process
    parameter.RayParams = partial(parameters, no_monitor=True, include_log_monitor=False)
    node.Node.start_api_server = lambda *_, **__: None
    services.start_ray_process = partial(_start_without_agents, start_process)
    try:
        yield
    finally:
        parameter.RayParams, node.Node.start_api_server = parameters, start_api_server
        services.start_ray_process = start_process


def _start_without_agents(start: Any, command: Sequence[str], kind: str, *arguments: Any, **options: Any) -> Any:
    """Starts a process of Ray; the raylet gets processes that do nothing in place of its agents, as it needs some."""
    from ray import _raylet
    from ray._private import ray_constants

    if kind == ray_constants.PROCESS_TYPE_RAYLET:
        given = dict(one.removeprefix("--").split("=", 1) for one in command if "=" in one)
        for port in _PORTS:
            _raylet.persist_port(given["session_dir"], given["node_id"], getattr(_raylet, port), -1)  # type: ignore[attr-defined]
        waiting = subprocess.list2cmdline([sys.executable, "-I", "-S", agent_placeholder.__file__])
        command = [f"{name}={waiting}" if (name := one.partition("=")[0]) in _AGENTS else one for one in command]
    return start(command, kind, *arguments, **options)


@contextmanager
def inherited_environment(actor_class: Callable[[Any], Any] = ray.remote) -> Iterator[None]:
    """Lets trials of Tune run in workers with the environment of this process.

    Tune gives its actors a runtime environment with a few variables. On this machine, workers inherit all variables,
    and a runtime environment would need its agent, and other workers than those that have been started.

    Args:
        actor_class: Returns the actor class of a trainable.
    """
    if not is_known_ray():
        yield
        return
    from ray.tune.execution import tune_controller  # not for a session without Tune

    cache = tune_controller._ActorClassCache
    tune_controller._ActorClassCache = partial(_PlainActors, actor_class)
    try:
        yield
    finally:
        tune_controller._ActorClassCache = cache


class _PlainActors:
    """Actor classes of Tune without a runtime environment."""

    def __init__(self, actor_class: Callable[[Any], Any]) -> None:
        self._actor_class = actor_class
        self._of: dict[Any, Any] = {}

    def get(self, trainable: Any) -> Any:
        """Returns the actor class of a trainable, which is made once."""
        if trainable not in self._of:
            self._of[trainable] = self._actor_class(trainable)
        return self._of[trainable]
