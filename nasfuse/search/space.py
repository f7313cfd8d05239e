"""The search space of one study: what to suggest, and how suggestions become recipes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import BaseTrial

from nasfuse.config.fields import accepts, known_paths, types_at
from nasfuse.config.modality import ENCODERS, Modality
from nasfuse.config.recipe import Recipe
from nasfuse.config.space import FieldConfig, SpaceConfig
from nasfuse.errors import ConfigError, Problem, nearest
from nasfuse.search.parameters import (
    ROUTE,
    ROUTE_SEPARATOR,
    Condition,
    Parameter,
    integer,
    order,
    real,
    set_path,
)

_WILDCARD = "network.streams.*."


class _Suggests(Protocol):
    def suggest(self, parameter: Parameter) -> Any: ...


class Space:
    """A space written out for the modalities of one data set.

    Attributes:
        parameters: In an order in which each stands after those it depends on.
        baselines: Name to the complete parameters of a hand-made design.
    """

    def __init__(
        self,
        config: SpaceConfig,
        modalities: Sequence[Modality],
        *,
        base: Mapping[str, Any],
        fixed: Mapping[str, Any] | None = None,
        source: str = "the search space",
    ) -> None:
        """Expands and checks `config`.

        Args:
            config: The space file.
            modalities: Of the data; `*` in a path stands for each of them.
            base: The `metric` and `data` of every recipe, as plain mappings.
            fixed: Recipe fields the study sets; they win over the space.
            source: What messages call the space.

        Raises:
            ConfigError: With all problems at once.
        """
        self._modalities = {modality.name: modality for modality in modalities}
        self._base = dict(base)
        self._problems: list[Problem] = []
        self._fixed = self._expand_fixed({**config.fixed, **(fixed or {})})
        drawn = self._expand_fields(config)
        self._known = self._known_without_drawing(drawn)
        self.parameters, cycle = order(self._with_conditions(config, drawn))
        if cycle:
            self._complain(f"fields.{cycle[0]}.when", f"these fields depend on each other: {' -> '.join(cycle)}")
        self.baselines: dict[str, dict[str, Any]] = {}
        if not cycle:
            for name, values in config.baselines.items():
                self.baselines.update(self._baseline(name, values))
        if self._problems:
            raise ConfigError(source, self._problems)

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Returns the parameters that `trial` draws, only those that exist beside one another."""
        known = dict(self._known)
        drawn: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.exists(known):
                value = _draw(trial, parameter)
                known[parameter.name] = drawn[parameter.name] = value
        return drawn

    def recipe(self, parameters: Mapping[str, Any]) -> Recipe:
        """Returns the complete recipe that `parameters` describe.

        Raises:
            ConfigError: The values do not fit one another, such as heads that do not divide a width.
        """
        tree: dict[str, Any] = {**self._base, "network": {}}
        for path, value in {**self._fixed, **parameters}.items():
            set_path(tree, path, value)
        network = tree["network"]
        route = str(network.get("route", ROUTE_SEPARATOR.join(self._modalities))).split(ROUTE_SEPARATOR)
        network["route"] = route
        given = network.get("streams", {})
        network["streams"] = {name: self._stream(name, given.get(name, {}), parameters) for name in route}
        fusion = {"kind": "concat", **network.pop("fusion", {})}
        if len(route) > 1:
            network["fusion"] = self._without_foreign("network.fusion", str(fusion["kind"]), fusion, parameters)
        return Recipe.parse(tree, source="the drawn recipe")

    def _stream(self, name: str, given: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
        stream = {"encoder": self._known[f"network.streams.{name}.encoder"], **given}
        return self._without_foreign(f"network.streams.{name}", str(stream["encoder"]), stream, parameters)

    def _without_foreign(
        self, path: str, tag: str, values: dict[str, Any], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Drops fixed values that the chosen kind does not have; drawn ones stay and are checked."""
        return {
            key: value
            for key, value in values.items()
            if f"{path}.{key}" in parameters or types_at(Recipe, f"{path}.{tag}.{key}")
        }

    def _complain(self, where: str, what: str) -> None:
        self._problems.append(Problem(where, what))

    def _paths(self, path: str, kinds: Sequence[str] | None = None) -> Iterator[tuple[str, Modality | None]]:
        """Yields the path for each stream that `*` stands for."""
        if not path.startswith(_WILDCARD):
            yield path, self._modalities.get(path.split(".")[2]) if path.startswith("network.streams.") else None
            return
        for name, modality in self._modalities.items():
            if kinds is None or modality.kind in kinds:
                yield path.replace("*", name), modality

    def _is_field(self, path: str, where: str) -> bool:
        parts = path.split(".")
        if parts[0] in ("data", "metric"):
            self._complain(where, f"{path} is set by the study, not by a space; remove it")
            return False
        if path.startswith("network.streams.") and len(parts) > 2 and parts[2] not in {*self._modalities, "*"}:
            self._complain(where, f"the data has no modality {parts[2]!r}; {nearest(parts[2], self._modalities)}")
            return False
        generic = ".".join(["network", "streams", "*", *parts[3:]]) if path.startswith("network.streams.") else path
        leaves = [known for known in known_paths(Recipe) if known.startswith(("network.", "training."))]
        if generic not in leaves:
            self._complain(where, f"no recipe has a field {path}; {_nearest_path(generic, leaves)}")
            return False
        return True

    def _expand_fixed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        fixed: dict[str, Any] = {}
        for path, value in values.items():
            where = f"fixed.{path}"
            if not self._is_field(path, where):
                continue
            if path == ROUTE:
                value = self._route(where, value)
            elif not accepts(Recipe, path.replace("*", next(iter(self._modalities))), value):
                self._complain(where, f"{value!r} is not a value of this field; see docs/spaces.md")
                continue
            for concrete, modality in self._paths(path):
                if not (concrete.endswith(".encoder") and modality and value not in ENCODERS[modality.kind]):
                    fixed[concrete] = value
        return fixed

    def _expand_fields(self, config: SpaceConfig) -> dict[str, tuple[str, FieldConfig, BaseDistribution]]:
        """Returns concrete path to (its key in the file, its entry, its distribution), explicit paths last."""
        drawn: dict[str, tuple[str, FieldConfig, BaseDistribution]] = {}
        for key, entry in sorted(config.fields.items(), key=lambda item: "*" not in item[0]):
            where = f"fields.{key}"
            if not self._is_field(key, where):
                continue
            if entry.kinds is not None and "*" not in key:
                self._complain(f"{where}.kinds", "kinds needs a field of every stream (network.streams.*)")
            for path, modality in self._paths(key, entry.kinds):
                if path not in self._fixed:
                    distribution = self._distribution(where, path, entry, modality)
                    if distribution is not None:
                        drawn[path] = (key, entry, distribution)
        return {path: drawn[path] for path in self._in_file_order(config, drawn)}

    def _in_file_order(self, config: SpaceConfig, drawn: Mapping[str, Any]) -> list[str]:
        paths = [path for key in config.fields for path, _ in self._paths(key)]
        return [path for path in dict.fromkeys(paths) if path in drawn]

    def _distribution(
        self, where: str, path: str, entry: FieldConfig, modality: Modality | None
    ) -> BaseDistribution | None:
        if entry.subsets:
            if path != ROUTE:
                self._complain(where, f"only {ROUTE} can have subsets; use choices")
                return None
            names = list(self._modalities)
            sizes = range(1, len(names) + 1)
            routes = [ROUTE_SEPARATOR.join(chosen) for size in sizes for chosen in combinations(names, size)]
            return CategoricalDistribution(routes)
        if entry.choices is not None:
            return self._choices(where, path, entry.choices, modality)
        bounds = entry.integers or entry.floats
        assert bounds is not None
        for bound in bounds:
            if not accepts(Recipe, path, bound):
                self._complain(where, f"{bound!r} is not a value of this field; change the range")
                return None
        if entry.integers is not None:
            return integer(*entry.integers, log=entry.log, step=entry.step)
        return real(*bounds, log=entry.log, step=entry.step)

    def _choices(
        self, where: str, path: str, choices: Sequence[Any], modality: Modality | None
    ) -> BaseDistribution | None:
        if path == ROUTE:
            return CategoricalDistribution([self._route(where, choice) for choice in choices])
        bad = [choice for choice in choices if not _accepts_choice(path, choice)]
        if bad:
            hint = "; it is one of " + ", ".join(_tags(path)) if _tags(path) else "; change it"
            self._complain(f"{where}.choices", f"{bad[0]!r} is not a value of this field{hint}")
            return None
        if path.endswith(".encoder") and modality is not None:
            choices = [choice for choice in choices if choice in ENCODERS[modality.kind]]
        return CategoricalDistribution(list(choices)) if choices else None

    def _route(self, where: str, value: Any) -> str:
        """Returns a route as one word; `all` is every modality."""
        if value == "all":
            return ROUTE_SEPARATOR.join(self._modalities)
        names = value if isinstance(value, list) else str(value).split(ROUTE_SEPARATOR)
        for name in names:
            if name not in self._modalities:
                self._complain(where, f"the data has no modality {name!r}; {nearest(str(name), self._modalities)}")
        return ROUTE_SEPARATOR.join(name for name in self._modalities if name in names)

    def _known_without_drawing(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        known = dict(self._fixed)
        known.setdefault(ROUTE, ROUTE_SEPARATOR.join(self._modalities))
        for name, modality in self._modalities.items():
            known.setdefault(f"network.streams.{name}.encoder", ENCODERS[modality.kind][0])
        return known

    def _with_conditions(
        self, config: SpaceConfig, drawn: Mapping[str, tuple[str, FieldConfig, BaseDistribution]]
    ) -> list[Parameter]:
        parameters = []
        for path, (key, entry, distribution) in drawn.items():
            stream = path.split(".")[2] if path.startswith("network.streams.") else ""
            conditions = []
            for name, wanted in entry.when.items():
                concrete = name.replace("*", stream)
                if concrete not in drawn and concrete not in self._known:
                    self._unknown_condition(f"fields.{key}.when", name, config)
                conditions.append(_condition(concrete, wanted, stream))
            default = entry.default if entry.default is not None else _middle(distribution)
            parameter = Parameter(path, distribution, default, tuple(conditions))
            if not parameter.allows(default):
                self._complain(f"fields.{key}.default", f"{default!r} is not in the distribution; change one of them")
            parameters.append(parameter)
        return parameters

    def _unknown_condition(self, where: str, name: str, config: SpaceConfig) -> None:
        if name not in config.fields and name not in config.fixed:
            self._complain(where, f"{name} is no field of this space; {_nearest_path(name, list(config.fields))}")

    def _baseline(self, name: str, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        if values.get(ROUTE) == "each":
            found: dict[str, dict[str, Any]] = {}
            for modality in self._modalities:
                found[f"{name}: {modality}"] = self._complete(name, {**values, ROUTE: modality})
            return found
        return {name: self._complete(name, values)}

    def _complete(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        where = f"baselines.{name}"
        parameters = {parameter.name: parameter for parameter in self.parameters}
        chosen: dict[str, Any] = {}
        for path, value in values.items():
            if path == ROUTE:
                value = self._route(f"{where}.{path}", value)
            concrete = [one for one, _ in self._paths(path) if one in parameters]
            if not concrete and not self._is_settled(path):
                self._complain(f"{where}.{path}", f"no field of this space; {_nearest_path(path, list(parameters))}")
            for one in concrete:
                if parameters[one].allows(value):
                    chosen[one] = value
                elif not (path.startswith(_WILDCARD) and path.endswith(".encoder")):
                    self._complain(f"{where}.{path}", f"{value!r} is not in the distribution of {one}; change one")
        known = dict(self._known)
        complete: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.exists(known):
                value = chosen.get(parameter.name, parameter.default)
                known[parameter.name] = complete[parameter.name] = value
        return complete

    def _is_settled(self, path: str) -> bool:
        """Returns whether a baseline may name `path` although nothing is drawn there."""
        return any(one in self._known for one, _ in self._paths(path))


def _condition(name: str, wanted: Any, stream: str) -> Condition:
    if isinstance(wanted, Mapping):
        has = wanted.get("has")
        at_least = wanted.get("at_least")
        return Condition(name, has=stream if has == "*" else has, at_least=at_least)
    return Condition(name, values=tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,))


def _draw(trial: BaseTrial, parameter: Parameter) -> Any:
    distribution = parameter.distribution
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(parameter.name, distribution.choices)
    suggest = trial.suggest_int if type(distribution).__name__ == "IntDistribution" else trial.suggest_float
    options = {"log": distribution.log, "step": distribution.step}  # type: ignore[attr-defined]
    return suggest(parameter.name, distribution.low, distribution.high, **options)  # type: ignore[attr-defined]


def _middle(distribution: BaseDistribution) -> Any:
    """Returns the first choice, or the middle of a range (of its logarithm for a log range)."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    middle = math.sqrt(low * high) if distribution.log else (low + high) / 2  # type: ignore[attr-defined]
    if distribution.step is not None:  # type: ignore[attr-defined]
        step = distribution.step  # type: ignore[attr-defined]
        middle = low + step * math.floor((middle - low) / step)
    return int(middle) if isinstance(low, int) else middle


def _tags(path: str) -> list[str]:
    """Returns the kinds that a discriminator field such as `network.fusion.kind` can take."""
    return [tag for annotation in types_at(Recipe, path) for tag in getattr(annotation, "__args__", ())]


def _accepts_choice(path: str, choice: Any) -> bool:
    return accepts(Recipe, path, choice)


def _nearest_path(path: str, known: list[str]) -> str:
    """Returns a hint that compares the last parts first: they are what is usually misspelt."""
    import difflib

    close = difflib.get_close_matches(path, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "see docs/spaces.md for the fields"
