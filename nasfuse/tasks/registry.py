"""The implementation of each kind of task."""

from functools import cache
from pkgutil import resolve_name

from nasfuse.domain.task import TASKS
from nasfuse.errors import InvalidInputError, nearest
from nasfuse.tasks.base import TaskKind


@cache
def task_kind(name: str) -> TaskKind:
    """Returns the kind of task called `name` (`nasfuse.domain.task.TASKS`).

    Raises:
        InvalidInputError: No such kind.
    """
    if name not in TASKS:
        raise InvalidInputError(f"data.task: {name!r} is not known; {nearest(name, TASKS)}")
    kind: TaskKind = resolve_name(TASKS[name].implementation)()
    return kind
