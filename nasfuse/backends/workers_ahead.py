"""Workers on this machine that start before it is known what they will run.

The process of a worker imports PyTorch, which takes as long as the driver needs for its own imports, for reading the
data and for building networks. Started ahead, the first training begins as soon as these have ended.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from nasfuse.backends.ray_processes import is_known_ray
from nasfuse.backends.ray_session import ray_session, trials_at_a_time  # sets Ray's environment before Ray is imported

# isort: split
import ray
from ray.actor import ActorClass

from nasfuse.spec.study import StudyConfig

#: Methods of the trainables of Tune that it calls in their actors.
_METHODS = (
    "export_model",
    "get_auto_filled_metrics",
    "get_current_ip_pid",
    "reset",
    "restore",
    "save",
    "stop",
    "train",
    "train_buffered",
)


class ImplicitFuncAhead:
    """Actor that is given a trainable of Tune, and its name in lists of processes, later."""

    def __init__(self, modules: Sequence[str], *, threads: int | None) -> None:
        """Imports `modules`; `threads` is the number of threads of OpenMP and BLAS, None that of the environment."""
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = str(threads)  # Ray has set it, for an actor without cores
        for name in modules:
            importlib.import_module(name)

    def become(self, trainable: type, arguments: Mapping[str, Any]) -> None:
        """Makes the trainable to which all further calls are passed on."""
        self._trainable = trainable(**arguments)


def _passed_on(name: str) -> Callable[..., Any]:
    def method(self: ImplicitFuncAhead, *arguments: Any, **keywords: Any) -> Any:
        return getattr(self._trainable, name)(*arguments, **keywords)

    method.__name__ = name
    return method


for _name in _METHODS:
    setattr(ImplicitFuncAhead, _name, _passed_on(_name))


class WorkersAhead:
    """Workers without a trial, in a session of Ray.

    Attributes:
        session: Ends the session when it is closed.
    """

    def __init__(self, count: int, *, modules: Sequence[str], cpus_per_trial: int, session: ExitStack) -> None:
        """Starts workers, which import `modules`; their cores are those of the trials that they will run."""
        self.session = session
        actor = ray.remote(ImplicitFuncAhead).options(num_cpus=0)
        threads = None if "OMP_NUM_THREADS" in os.environ else cpus_per_trial
        self._waiting = [actor.remote(modules, threads=threads) for _ in range(count)]

    def keep(self, count: int) -> None:
        """Ends all but `count` workers that have no trial yet."""
        del self._waiting[count:]  # Ray ends actors without handles

    def take(self) -> Any:
        """Returns a worker that has no trial yet; None if there is none."""
        return self._waiting.pop() if self._waiting else None

    def actor_class(self, trainable: type) -> Any:
        """Returns the actor class of a trainable of Tune, whose first actors are these workers."""
        return _AheadFirst(self, trainable)


class _AheadFirst(ActorClass):  # Tune makes an actor class of everything that is none
    """Makes actors of a trainable from workers that have started, as long as there are some."""

    def __init__(self, ahead: WorkersAhead, trainable: type, others: Any = None) -> None:
        self._ahead, self._trainable = ahead, trainable
        self._others = ray.remote(trainable) if others is None else others

    def options(self, **options: Any) -> "_AheadFirst":
        """Returns the same class with options for the actors that are started anew."""
        return _AheadFirst(self._ahead, self._trainable, self._others.options(**options))

    def remote(self, **arguments: Any) -> Any:
        """Returns the handle of an actor."""
        worker = self._ahead.take()
        if worker is None:
            return self._others.remote(**arguments)
        worker.become.remote(self._trainable, arguments)
        return worker


@contextmanager
def workers_ahead(study: StudyConfig, *, modules: Sequence[str]) -> Iterator[WorkersAhead | None]:
    """Yields as many workers as a new search of `study` on this machine will use, in a session of Ray.

    The session ends with the backend that uses them, or after the block. None is yielded where the workers need GPUs,
    or with a version of Ray in which Tune cannot be given workers.

    Args:
        study: Study of the search.
        modules: Modules that a trial needs.

    Raises:
        InvalidInputError: No folder on this machine can hold Ray's sockets.
        NasfuseError: Ray does not start.
    """
    if study.resources.gpus_per_trial > 0 or not is_known_ray():
        yield None
        return
    with ExitStack() as session:
        session.enter_context(ray_session(None))
        cpus = study.resources.cpus_per_trial
        fitting = trials_at_a_time(ray.cluster_resources(), cpus_per_trial=cpus, gpus_per_trial=0)
        most = [one for one in (study.resources.workers, study.budget.trials) if one is not None]
        yield WorkersAhead(min([fitting, *most]), modules=modules, cpus_per_trial=cpus, session=session)
