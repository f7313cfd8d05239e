"""The schema of a search space file: recipe field to distribution."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self, get_args

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from nasfuse.domain.modality import ModalityKind
from nasfuse.errors import nearest
from nasfuse.spec.schema.model import Model


def _scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"a value must be a word, a finite number, true or false, got {value!r}")
    return value


def _default(value: Any) -> Any:
    if isinstance(value, Mapping):
        unknown = [kind for kind in value if kind not in get_args(ModalityKind)]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is no kind of modality; {nearest(str(unknown[0]), get_args(ModalityKind))}"
            )
        return {kind: _scalar(one) for kind, one in value.items()}
    return value if value is None else _scalar(value)


#: A plain value of a recipe. Not a union, which would report one problem per member.
Scalar = Annotated[Any, AfterValidator(_scalar)]


class FieldConfig(Model):
    """The distribution of one recipe field; exactly one of `choices`, `int`, `float` and `subsets`.

    A route may combine `subsets` (static networks) with `choices` of dynamic networks such as `each > all`.

    Attributes:
        choices: Values to choose from. Encoders that a modality does not support are left out for it.
        int: Lowest and highest whole number, both included.
        float: Lowest and highest number, both included.
        subsets: Whether every non-empty subset of the modalities is a choice; `network.route` only.
        log: Whether `int` or `float` is drawn on a logarithmic scale.
        step: Distance of neighbouring values of `int` or `float`.
        default: Value of baselines that do not set the field; for a field of every stream also a mapping from kinds of
            modality to values.
        when: Conditions under which the field exists, by the name of another field: a value, a list of values,
            `{at_least: n}` for a number; for the route also `{has: stream}`, `{at_least: n}` (streams) and
            `{dynamic: true}` (several routes). All must hold.
        kinds: Kinds of modality that have the field, for a field of every stream (`network.streams.*`).
        samples: Smallest and largest number of training samples of all epochs together, for choices of epochs:
            `SpaceConfig.for_samples` leaves out choices with fewer or more of them.
    """

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    choices: tuple[Scalar, ...] | None = None
    integers: Annotated[tuple[int, int] | None, Field(alias="int")] = None
    floats: Annotated[tuple[float, float] | None, Field(alias="float")] = None
    subsets: bool = False
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None
    default: Annotated[Any, AfterValidator(_default)] = None
    when: Annotated[dict[str, Any], Field(default_factory=dict)]
    kinds: tuple[ModalityKind, ...] | None = None
    samples: tuple[int, int] | None = None

    @field_validator("when")
    @classmethod
    def _conditions(cls, when: dict[str, Any]) -> dict[str, Any]:
        wrong = [problem for name, wanted in when.items() for problem in _problems_of_condition(name, wanted)]
        if wrong:
            raise ValueError("; ".join(wrong))
        return when

    @model_validator(mode="after")
    def _one_distribution(self) -> Self:
        by_choice = self.choices is not None or self.subsets
        given = [by_choice, self.integers is not None, self.floats is not None]
        if sum(given) != 1:
            raise ValueError("give exactly one of choices, int, float and subsets")
        bounds = self.integers or self.floats
        if bounds is not None and bounds[0] > bounds[1]:
            raise ValueError(f"the range is empty: {bounds[0]} is above {bounds[1]}; swap them")
        if self.log and (bounds is None or bounds[0] <= 0):
            raise ValueError("log needs a range of numbers above 0")
        if self.log and self.step is not None:
            raise ValueError("a range cannot have both log and step; remove one")
        if self.step is not None:
            self._check_step(self.step)
        if self.choices == ():
            raise ValueError("choices is empty; give at least one value")
        if self.choices is not None and len(set(self.choices)) < len(self.choices):
            raise ValueError("choices has a value twice; keep one")
        if self.samples is not None and not (
            self.choices is not None and all(type(value) is int and value > 0 for value in self.choices)
        ):
            raise ValueError("samples needs choices of whole numbers above 0, the epochs; remove it, or give them")
        return self

    def for_samples(self, n_samples: int) -> "FieldConfig":
        """Returns the field for a training set of `n_samples`; see `SpaceConfig.for_samples`."""
        if self.samples is None or self.choices is None:
            return self
        least, most = self.samples

        def excess(epochs: int) -> float:
            """Returns by which factor the number of samples is outside the limits; 1 within them."""
            return max(least / (epochs * n_samples), epochs * n_samples / most, 1.0)

        nearest_excess = min(excess(value) for value in self.choices)
        kept = tuple(value for value in self.choices if excess(value) == nearest_excess)
        wanted = self.choices[0] if self.default is None else self.default
        return self.model_copy(
            update={"choices": kept, "default": min(kept, key=lambda value: abs(value - wanted)), "samples": None}
        )

    def _check_step(self, step: float) -> None:
        bounds = self.integers or self.floats
        if bounds is None:
            raise ValueError("step needs a range; remove it, or give int or float")
        if self.integers is not None and step != int(step):
            raise ValueError(f"the step of an int range must be a whole number, got {step}")
        steps = (bounds[1] - bounds[0]) / step
        if abs(steps - round(steps)) > 1e-8:
            raise ValueError(
                f"the range {bounds[0]} to {bounds[1]} must be a whole number of steps, got step {step}; "
                "change one of them"
            )


class SpaceConfig(Model):
    """A search space: fields with distributions, fixed fields, and hand-made designs.

    Attributes:
        fields: Distributions by dotted recipe path; `*` stands for every stream.
        fixed: Fixed values by dotted recipe path.
        baselines: Values of hand-made designs by name. `network.route: all` is the route of all modalities;
            `network.route: each` and `network.route: each > all` define one baseline per modality.
        recommended: Names of the baselines that are trained before the others, in this order.
    """

    fields: Annotated[dict[str, FieldConfig], Field(min_length=1)]
    fixed: Annotated[dict[str, Any], Field(default_factory=dict)]
    baselines: Annotated[dict[str, dict[str, Any]], Field(default_factory=dict)]
    recommended: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _recommends_baselines(self) -> Self:
        for name in self.recommended:
            if name not in self.baselines:
                raise ValueError(f"recommended has {name!r}, which is no baseline; {nearest(name, self.baselines)}")
        return self

    def for_samples(self, n_samples: int) -> "SpaceConfig":
        """Returns the space for a training set of `n_samples` samples.

        Of a field with `samples`, the choices whose epochs times `n_samples` are within these limits remain, or the
        nearest one if there is none. Its default is the remaining choice that is nearest to the default.
        """
        fields = {name: field.for_samples(n_samples) for name, field in self.fields.items()}
        return self.model_copy(update={"fields": fields})

    def to_plain(self) -> dict[str, Any]:
        """Returns the space as plain mappings in the form of a space file, without defaults."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True, by_alias=True)


def _problems_of_condition(name: str, wanted: Any) -> list[str]:
    """Returns the problems of one condition of `when`."""
    if isinstance(wanted, Mapping):
        if not wanted or not wanted.keys() <= {"has", "at_least", "dynamic"}:
            return [
                f"{name} needs a value, a list of values, {{has: stream}}, {{at_least: n}} or {{dynamic: true}}, "
                f"got {dict(wanted)!r}"
            ]
        if not isinstance(wanted.get("dynamic", True), bool):
            return [f"{name}: dynamic must be true or false, got {wanted['dynamic']!r}"]
        if "has" in wanted and not isinstance(wanted["has"], str):
            return [f"{name}: has must name a stream, got {wanted['has']!r}"]
        least = wanted.get("at_least", 0)
        if isinstance(least, bool) or not isinstance(least, int | float) or not math.isfinite(least):
            return [f"{name}: at_least must be a number, got {least!r}"]
        return []
    values = wanted if isinstance(wanted, list | tuple) else [wanted]
    if not values or any(not isinstance(value, bool | int | float | str) for value in values):
        return [f"{name} needs a value, a list of values, {{has: stream}} or {{at_least: n}}, got {wanted!r}"]
    return []
