"""Every set of parameters that a define-by-run space of countable fields can suggest."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class _Branch(Exception):
    """The space asked for a field that has no value yet."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        super().__init__(name)
        self.name = name
        self.values = values


class _PartialTrial:
    """Answers a space from some values, and stops it at the first field that has none."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known = known

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._answer(name, choices)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        return self._answer(name, range(low, high + 1, step))

    def _answer(self, name: str, values: Sequence[Any]) -> Any:
        if name not in self._known:
            raise _Branch(name, values)
        return self._known[name]


def key_of(params: Mapping[str, Any]) -> str:
    """Returns the same text for equal parameters, in whatever order they were drawn."""
    return json.dumps(dict(params), sort_keys=True)


def every_suggestion(suggest: Callable[[Any], Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns all parameters that `suggest` can draw from a trial, once each, in the order of their keys.

    >>> def suggest(trial):
    ...     drawn = {"kind": trial.suggest_categorical("kind", ["a", "b"])}
    ...     if drawn["kind"] == "b":
    ...         drawn["depth"] = trial.suggest_int("depth", 1, 2)
    ...     return drawn
    >>> every_suggestion(suggest)
    [{'kind': 'b', 'depth': 1}, {'kind': 'b', 'depth': 2}, {'kind': 'a'}]
    """
    found: dict[str, dict[str, Any]] = {}
    waiting: list[dict[str, Any]] = [{}]
    while waiting:
        known = waiting.pop()
        try:
            drawn = dict(suggest(_PartialTrial(known)))
        except _Branch as branch:
            waiting += [{**known, branch.name: value} for value in branch.values]
        else:
            found[key_of(drawn)] = drawn
    return [found[key] for key in sorted(found)]
