"""Search space of a study: its parameters, and the recipes that parameters describe."""

import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import BaseTrial

from nasfuse.domain.modality import ENCODERS, Modality
from nasfuse.domain.route import is_dynamic, streams_of
from nasfuse.errors import ConfigError, Problem, nearest
from nasfuse.search.dependent_values import distinct_routes, suitable_options, with_suitable_elastic
from nasfuse.search.parameters import (
    ROUTE,
    Condition,
    Parameter,
    integer,
    middle,
    order,
    real,
    set_path,
)
from nasfuse.search.streams import PREFIX, WILDCARD, Streams, stream_of
from nasfuse.search.task_fields import choices_of, is_field_of
from nasfuse.spec.data import DataConfig
from nasfuse.spec.elastic import misnamed
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.schema.fields import accepts, known_paths, types_at
from nasfuse.spec.space import FieldConfig, SpaceConfig

_DEFAULT_TASK: str = DataConfig.model_fields["task"].default


@dataclass(frozen=True)
class _Field:
    """One path of the space: its key and entry in the space file, and its distribution."""

    key: str
    entry: FieldConfig
    distribution: BaseDistribution


class Space:
    """A search space expanded for the modalities of a data set.

    Attributes:
        parameters: Parameters; each follows those that its conditions refer to.
        constants: Values of fields that are not drawn but that conditions may refer to.
        baselines: Complete parameters of each hand-made design, by name. Designs that contradict values fixed by the
            study, or that give the same recipe as an earlier one, are left out.
        recommended: Names of the designs that are trained before the others, in this order.
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
            config: Content of the space file.
            modalities: Modalities of the data; `*` in a path stands for each of them.
            base: `metric` and `data` of every recipe, as plain mappings.
            fixed: Recipe fields set by the study; they override the space.
            source: Name of the space in messages.

        Raises:
            ConfigError: The space is invalid; the error lists all problems.
        """
        self._config = config
        self._streams = Streams(modalities)
        self._base = dict(base)
        self._problems: list[Problem] = []
        self._fixed_by_study = self._expand_fixed(fixed or {})
        self._fixed = {**self._expand_fixed(config.fixed), **self._fixed_by_study}
        drawn = self._expand_fields(config)
        self.constants = self._constant_values()
        self.parameters, cycle = order([self._parameter(path, field, drawn) for path, field in drawn.items()])
        if cycle:
            self._complain(f"fields.{cycle[0]}.when", f"these fields depend on each other: {' -> '.join(cycle)}")
        self.baselines = {} if cycle else self._complete_baselines()
        self.recommended = [label for name in config.recommended for label in self.baselines if _is_design(label, name)]
        if self._problems:
            raise ConfigError(source, dict.fromkeys(self._problems))

    def replace_design(self, name: str, new_name: str, parameters: Mapping[str, Any]) -> None:
        """Replaces a hand-made design by another one, or removes it if there is another design of the same recipe."""
        is_new = dict(parameters) not in self.baselines.values()
        replaced = {new_name: dict(parameters)} if is_new else {}
        pairs = [(replaced if one == name else {one: design}) for one, design in self.baselines.items()]
        self.baselines = {label: design for pair in pairs for label, design in pair.items()}
        kept = [label for label in self.recommended if label != name or is_new]
        self.recommended = [new_name if label == name else label for label in kept]

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Returns the parameters that `trial` draws, in which only existing parameters are included."""
        values = dict(self.constants)
        drawn: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.exists(values):
                values[parameter.name] = drawn[parameter.name] = parameter.draw(trial)
        return drawn

    def recipe(self, parameters: Mapping[str, Any]) -> Recipe:
        """Returns the complete recipe that `parameters` describe.

        Raises:
            ConfigError: The values contradict one another, such as heads that do not divide a width.
        """
        tree: dict[str, Any] = {**self._base, "network": {}}
        for path, value in {**self._fixed, **parameters}.items():
            set_path(tree, path, value)
        network = tree["network"]
        word = str(network.get("route", self._streams.route("all")))
        on_route = streams_of(word)
        route = network["route"] = [name for name in self._streams.modalities if name in on_route]
        given = network.get("streams", {})
        network["streams"] = {name: self._stream(name, given.get(name, {}), parameters) for name in route}
        fusion = {"kind": "concat", **network.pop("fusion", {})}
        if len(route) > 1:
            network["fusion"] = self._without_foreign("network.fusion", str(fusion["kind"]), fusion, parameters)
        if network.get("fusion", {}).get("kind") != "equilibrium":
            tree.get("training", {}).pop("equilibrium", None)
        if is_dynamic(word):
            router = {"kind": "gate", **network.get("router", {})}
            if router["kind"] != "gate" and not any(path.startswith("training.routing.") for path in parameters):
                tree.get("training", {}).pop("routing", None)
            router = self._without_foreign("network.router", str(router["kind"]), router, parameters)
            network["router"] = {**router, "routes": distinct_routes(word, network)}
            if "training.mixup_at" not in parameters:
                tree.get("training", {}).pop("mixup_at", None)
        else:
            network.pop("router", None)
            tree.get("training", {}).pop("routing", None)
        return Recipe.parse(with_suitable_elastic(tree), source="the drawn recipe")

    def _stream(self, name: str, given: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
        stream = {"encoder": self.constants[f"{PREFIX}{name}.encoder"], **given}
        return self._without_foreign(f"{PREFIX}{name}", str(stream["encoder"]), stream, parameters)

    def _without_foreign(
        self, path: str, tag: str, values: dict[str, Any], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Removes fixed values that the chosen kind does not have or accept; drawn values are kept and validated."""
        kept = {}
        for key, value in values.items():
            if isinstance(value, dict):
                kept[key] = suitable_options(
                    value, path=f"{path}.{key}", typed=f"{path}.{tag}.{key}", parameters=parameters
                )
            elif f"{path}.{key}" in parameters or types_at(Recipe, f"{path}.{tag}.{key}"):
                kept[key] = value
        return {key: value for key, value in kept.items() if value != {}}

    def _complain(self, where: str, what: str) -> None:
        self._problems.append(Problem(where, what))

    def _is_field(self, path: str, where: str) -> bool:
        if path.split(".")[0] in ("data", "metric"):
            self._complain(where, f"{path} is set by the study, not by a space; remove it")
            return False
        stream = stream_of(path)
        if stream is not None and stream != "*" and stream not in self._streams.modalities:
            self._complain(where, f"the data has no modality {stream!r}; {nearest(stream, self._streams.modalities)}")
            return False
        generic = path if stream is None else path.replace(f"{PREFIX}{stream}.", WILDCARD, 1)
        leaves = [path for path in known_paths(Recipe) if path.startswith(("network.", "training."))]
        leaves.remove("network.router.routes")  # part of network.route in a space
        leaves.append("elastic")  # a mapping as a whole
        if generic not in leaves:
            self._complain(where, f"no recipe has a field {path}; {_nearest_path(generic, leaves)}")
            return False
        return True

    def _takes(self, path: str, value: Any) -> bool:
        """Returns whether the recipe field at `path` accepts `value`."""
        return accepts(Recipe, path.replace("*", next(iter(self._streams.modalities))), value)

    @property
    def _task(self) -> str:
        """Kind of task of the study."""
        return str(self._base["data"].get("task", _DEFAULT_TASK))

    def _suits(self, where: str, path: str, value: Any) -> bool:
        """Returns whether the modality accepts `value`; reports a problem if the path names that modality."""
        fits = self._streams.suits(path, value)
        if not fits and WILDCARD not in where:
            kind = self._streams.modalities[path.split(".")[2]].kind
            self._complain(
                where, f"the encoder of a modality of kind {kind} must be one of {', '.join(ENCODERS[kind])}"
            )
        return fits

    def _route(self, where: str, value: Any) -> str:
        for name in self._streams.strangers(value):
            hint = nearest(name, self._streams.modalities)
            if name in ("each", "others"):
                hint = "others is what each leaves, as in each > each+others:1 > all; it means nothing without each"
            self._complain(where, f"the data has no modality {name!r}; {hint}")
        try:
            return self._streams.route(value)
        except ValueError as error:
            self._complain(where, str(error))
            return self._streams.route("all")

    def _expand_fixed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns values by concrete path; a path that names a stream overrides one with `*`."""
        fixed: dict[str, Any] = {}
        for path, value in sorted(values.items(), key=lambda item: "*" not in item[0]):
            where = f"fixed.{path}"
            if not self._is_field(path, where):
                continue
            if path == ROUTE:
                value = self._route(where, value)
            elif not self._takes(path, value):
                self._complain(where, f"{value!r} is not a value of this field; {_hint(path)}")
                continue
            elif path == "elastic":
                for key, problem in misnamed(value, self._streams.modalities).items():
                    self._complain(f"{where}.{key}", problem)
            fixed |= {one: value for one in self._streams.paths(path) if self._suits(where, one, value)}
        return fixed

    def _expand_fields(self, config: SpaceConfig) -> dict[str, _Field]:
        """Returns concrete path to field, in the order of the file; a path that names a stream wins over `*`."""
        drawn: dict[str, _Field] = {}
        for key, entry in sorted(config.fields.items(), key=lambda item: "*" not in item[0]):
            where = f"fields.{key}"
            if not self._is_field(key, where):
                continue
            if not is_field_of(key, self._task):
                continue
            if isinstance(entry.default, Mapping) and "*" not in key:
                self._complain(f"{where}.default", f"a default by kind needs a field of every stream ({WILDCARD}...)")
                continue
            if entry.kinds is not None and "*" not in key:
                self._complain(f"{where}.kinds", f"kinds needs a field of every stream ({WILDCARD}...)")
            for path in self._streams.paths(key, entry.kinds):
                if path not in self._fixed:
                    distribution = self._distribution(where, path, entry)
                    if distribution is not None:
                        drawn[path] = _Field(key, entry, distribution)
        in_file_order = dict.fromkeys(path for key in config.fields for path in self._streams.paths(key))
        return {path: drawn[path] for path in in_file_order if path in drawn}

    def _distribution(self, where: str, path: str, entry: FieldConfig) -> BaseDistribution | None:
        if entry.subsets and path != ROUTE:
            self._complain(where, f"only {ROUTE} can have subsets; use choices")
            return None
        if path == ROUTE and (entry.subsets or entry.choices is not None):
            words = [one for choice in entry.choices or () for one in self._streams.expand(choice).values()]
            routes = [*(self._streams.routes() if entry.subsets else []), *(self._route(where, one) for one in words)]
            if not routes:
                self._complain(where, "the data has one modality, so none of these routes is left; add subsets: true")
                return None
            return CategoricalDistribution(list(dict.fromkeys(routes)))
        if entry.choices is not None:
            return self._choices(where, path, entry.choices)
        bounds = entry.integers or entry.floats
        assert bounds is not None
        for bound in bounds:
            if not self._takes(path, bound):
                self._complain(where, f"{bound!r} is not a value of this field; change the range")
                return None
        if entry.integers is not None:
            return integer(*entry.integers, log=entry.log, step=entry.step)
        return real(*bounds, log=entry.log, step=entry.step)

    def _choices(self, where: str, path: str, choices: Sequence[Any]) -> BaseDistribution | None:
        bad = [choice for choice in choices if not self._takes(path, choice)]
        if bad:
            self._complain(f"{where}.choices", f"{bad[0]!r} is not a value of this field; {_hint(path)}")
            return None
        suitable = [choice for choice in choices if self._suits(where, path, choice)]
        suitable = choices_of(path, suitable, self._task)
        return CategoricalDistribution(suitable) if suitable else None

    def _constant_values(self) -> dict[str, Any]:
        values = dict(self._fixed)
        values.setdefault(ROUTE, self._streams.route("all"))
        for name, modality in self._streams.modalities.items():
            values.setdefault(f"{PREFIX}{name}.encoder", ENCODERS[modality.kind][0])
        return values

    def _parameter(self, path: str, field: _Field, drawn: Mapping[str, _Field]) -> Parameter:
        conditions = tuple(
            self._condition(f"fields.{field.key}.when", name, wanted, path=path, drawn=drawn)
            for name, wanted in field.entry.when.items()
        )
        default = self._default_of(path, field.entry)
        if default is None or not self._streams.suits(path, default):
            default = middle(field.distribution)
        elif path == ROUTE:
            meant = next(iter(self._streams.expand(default).values()), middle(field.distribution))
            default = self._route(f"fields.{field.key}.default", meant)
        parameter = Parameter(path, field.distribution, default, conditions)
        if not parameter.allows(default):
            self._complain(f"fields.{field.key}.default", f"{default!r} is not in the distribution; change one of them")
        return parameter

    def _default_of(self, path: str, entry: FieldConfig) -> Any:
        if not isinstance(entry.default, Mapping):
            return entry.default
        return entry.default.get(self._streams.modalities[str(stream_of(path))].kind)

    def _condition(self, where: str, name: str, wanted: Any, *, path: str, drawn: Mapping[str, _Field]) -> Condition:
        stream = stream_of(path)
        if stream is None and ("*" in name or (isinstance(wanted, Mapping) and wanted.get("has") == "*")):
            self._complain(where, "* stands for the stream of the field itself, and this field has none; name a stream")
            return Condition(name)
        concrete = name.replace("*", stream or "")
        is_field = (
            concrete in drawn or concrete in self.constants or name in {**self._config.fields, **self._config.fixed}
        )
        if not is_field:
            self._complain(where, f"{name} is no field of this space; {_nearest_path(name, list(self._config.fields))}")
            return Condition(concrete)
        if isinstance(wanted, Mapping):
            return self._condition_on_size(where, concrete, wanted, stream=stream)
        values = tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,)
        if concrete == ROUTE:
            return Condition(concrete, values=tuple(self._route(where, value) for value in values))
        for value in values:
            if not self._takes(concrete, value):
                self._complain(where, f"{value!r} is not a value of {name}; change it")
        return Condition(concrete, values=values)

    def _condition_on_size(self, where: str, name: str, wanted: Mapping[str, Any], *, stream: str | None) -> Condition:
        has, least, dynamic = wanted.get("has"), wanted.get("at_least"), wanted.get("dynamic")
        if dynamic is not None and name != ROUTE:
            self._complain(where, f"only {ROUTE} can be dynamic; give values of {name} instead")
        if has is not None:
            has = stream if has == "*" else has
            if name != ROUTE:
                self._complain(where, f"only {ROUTE} can have a stream; give values of {name} instead")
            else:
                self._route(where, has)
        if least is not None and name != ROUTE and not any(self._takes(name, size) for size in (1, 0.5, 2**6)):
            self._complain(where, f"{name} is no number, so at_least means nothing; give values instead")
        return Condition(name, has=has, at_least=least, dynamic=dynamic)

    def _complete_baselines(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name, values in self._config.baselines.items():
            for label, one in self._single_routes(name, values):
                complete = self._complete(f"baselines.{name}", one)
                if complete is not None and complete not in found.values():
                    found[label] = complete
        return found if self._problems else self._distinct(found)

    def _distinct(self, designs: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Returns `designs` without those whose recipe is that of an earlier one."""
        first: dict[str, str] = {}
        for label, parameters in designs.items():
            first.setdefault(self.recipe(parameters).hash, label)
        return {label: designs[label] for label in first.values()}

    def _single_routes(self, name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if ROUTE not in values:
            yield name, values
            return
        for modality, route in self._streams.expand(values[ROUTE]).items():
            label = name if modality is None else f"{name}: {modality}"
            yield label, {**values, ROUTE: route}

    def _complete(self, where: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns all parameters of a hand-made design; None if values fixed by the study contradict it."""
        chosen = self._chosen(where, values)
        if chosen is None:
            return None
        existing = dict(self.constants)
        complete: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.exists(existing):
                value = chosen.get(parameter.name, parameter.default)
                existing[parameter.name] = complete[parameter.name] = value
        if not self._problems:
            try:
                self.recipe(complete)
            except ConfigError as error:
                self._complain(where, f"no valid network: {'; '.join(str(problem) for problem in error.problems)}")
        return complete

    def _chosen(self, where: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns the values of a baseline by concrete path; None if the task or the study rules one out."""
        parameters = {parameter.name: parameter for parameter in self.parameters}
        route = streams_of(self._route(f"{where}.{ROUTE}", values.get(ROUTE, self.constants[ROUTE])))
        chosen: dict[str, Any] = {}
        for path, value in values.items():
            here = f"{where}.{path}"
            value = self._route(here, value) if path == ROUTE else value
            paths = self._streams.paths(path)
            if not choices_of(path, [value], self._task):
                return None
            is_field = path in self._config.fields or any(one in parameters or one in self.constants for one in paths)
            if not is_field:
                self._complain(here, f"no field of this space; {_nearest_path(path, list(parameters))}")
            elif path != ROUTE and not self._takes(path, value):
                self._complain(here, f"{value!r} is not a value of this field; change it")
                continue
            for one in (one for one in paths if self._suits(here, one, value)):
                if one in parameters:
                    chosen[one] = value
                    if not parameters[one].allows(value):
                        self._complain(here, f"{value!r} is not in the distribution of {one}; change one")
                elif one.startswith("network.") and stream_of(one) in (None, *route):
                    if value != self.constants.get(one, value) and not self._is_overruled(here, one, value):
                        return None
        return chosen

    def _is_overruled(self, where: str, path: str, value: Any) -> bool:
        """Returns False if the study has fixed `path`; otherwise reports that a baseline contradicts a constant."""
        if path in self._fixed_by_study:
            return False
        self._complain(
            where, f"{value!r} contradicts {path}, which is {self.constants[path]!r} in this space; change one"
        )
        return True


def _is_design(label: str, name: str) -> bool:
    """Returns whether `label` is the baseline `name`, or that for one of the modalities."""
    return label == name or label.startswith(f"{name}: ")


def _hint(path: str) -> str:
    """Returns a hint with the values that a field accepts, if they can be listed."""
    return "it is one of " + ", ".join(_tags(path)) if _tags(path) else "change it"


def _tags(path: str) -> list[str]:
    """Returns the values of a discriminator field such as `network.fusion.kind`; empty for other fields."""
    kinds = [annotation for annotation in types_at(Recipe, path) if typing.get_origin(annotation) is typing.Literal]
    return [str(tag) for kind in kinds for tag in typing.get_args(kind)]


def _nearest_path(path: str, paths: list[str]) -> str:
    """Returns a hint with the most similar path, or with the page that lists the fields."""
    close = difflib.get_close_matches(path, paths, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "see docs/spaces.md for the fields"
