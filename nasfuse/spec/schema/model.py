"""Base class of the configuration objects, and the messages for validation errors."""

import json
import re
import reprlib
from typing import Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from nasfuse.errors import ConfigError, Problem, nearest
from nasfuse.spec.schema.yaml_file import Document, KeyPath, dotted

#: Kind of a validation error of pydantic to the rule that was broken, with the names of its context.
_RULES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping (keys with values)",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_from_float": "must be an integer",
    "int_type": "must be an integer",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "list_type": "must be a list",
    "model_type": "must be a mapping (keys with values)",
    "string_too_long": "must have a length of at most {max_length}",
    "string_too_short": "must have a length of at least {min_length}",
    "string_type": "must be text",
    "too_long": "must have a length of at most {max_length}",
    "too_short": "must have a length of at least {min_length}",
    "tuple_type": "must be a list",
}


class MisfitError(ValueError):
    """A value that is inconsistent with other values, reported under one key of the object.

    Attributes:
        key: Dotted path, relative to the object, of the value to correct. A number is an index of a list.
    """

    def __init__(self, key: str, what: str) -> None:
        """Stores the dotted `key`; `what` is the message."""
        super().__init__(what)
        self.key = key


def matching(pattern: str, rule: str) -> AfterValidator:
    """Returns the annotation of a text that must match a regular expression.

    Args:
        pattern: Regular expression of the whole text.
        rule: What the text must do, for the message: "must ...".
    """

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"must {rule}, got {_shown(text)}")
        return text

    return AfterValidator(check)


class Model(BaseModel):
    """An immutable, strictly typed configuration object; unknown keys are errors."""

    # Validators are built when they are first used: a command needs few of them, and all take a third of a second.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @classmethod
    def parse(cls, values: Any, *, document: Document | None = None, source: str = "the configuration") -> Self:
        """Returns the validated object.

        Args:
            values: Plain mapping, as read from YAML.
            document: File of the mapping, used for its name and line numbers in messages.
            source: Name of the mapping in messages if there is no file.

        Raises:
            ConfigError: With all problems at once.
        """
        values = cls.expand(values)
        try:
            # JSON mode is the strict one that still takes a list for a tuple.
            return cls.model_validate_json(json.dumps(values, default=str), strict=True)
        except ValidationError as error:
            problems = problems_of(cls, error, values, document)
            raise ConfigError(document.source if document else source, problems) from None

    @classmethod
    def expand(cls, values: Any) -> Any:
        """Returns `values` with every shorthand expanded; subclasses with shorthands override it."""
        return values

    def to_plain(self) -> dict[str, Any]:
        """Returns the object as plain mappings, lists and scalars, with all fields that are not None."""
        return self.model_dump(mode="json", exclude_none=True)


def problems_of(
    model: type[BaseModel], error: ValidationError, values: Any, document: Document | None
) -> list[Problem]:
    """Returns one problem per validation error, in the order of the file."""
    problems = []
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "too_short" and any(_is_inside(other, detail) for other in details):
            continue  # pydantic does not count entries that have errors
        path = _user_path(model, detail, values)
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, MisfitError):
            path = (*path, *(int(part) if part.isdecimal() else part for part in cause.key.split(".")))
        line = document.line_of(path) if document else None
        problems.append(Problem(dotted(path), _words(model, detail, path), line))
    return sorted(problems, key=lambda problem: problem.line or 0)


def _is_inside(detail: Any, outer: Any) -> bool:
    place = outer["loc"]
    return len(detail["loc"]) > len(place) and detail["loc"][: len(place)] == place


def _user_path(model: type[BaseModel], detail: Any, values: Any) -> KeyPath:
    """Returns the path of an error in the user's file, without the union tags that pydantic adds to locations."""
    from nasfuse.spec.schema.fields import children_of, tagged_members

    path: list[str | int] = []
    here = values
    types: list[Any] = [model]
    for position, part in enumerate(detail["loc"]):
        tagged = tagged_members(types, part)
        if tagged:
            types = tagged
            continue
        types = [child for one in types for child in children_of(one, part)]
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            if position < len(detail["loc"]) - 1 or detail["type"] != "missing":
                continue
        path.append(part)
    if detail["type"] == "union_tag_invalid":
        path.append(detail["ctx"]["discriminator"].strip("'"))
    return tuple(path)


def _words(model: type[BaseModel], detail: Any, path: KeyPath) -> str:
    kind, context, got = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        known = fields_at(model, detail["loc"][:-1])
        return f"unknown key; {nearest(str(path[-1]), known)}" if known else "unknown key; remove it"
    if kind == "missing" and isinstance(path[-1], int):
        return "this entry of the list is missing; add it"
    if kind == "missing":
        return "this key is required; add it"
    if kind == "value_error":
        return str(context["error"])
    if kind in ("union_tag_invalid", "literal_error"):
        expected = str(context.get("expected_tags") or context.get("expected")).replace(" or ", ", ")
        tags = [tag.strip("' ") for tag in expected.split(",")]
        return f"{context.get('tag', got)!r} is not known; {nearest(str(context.get('tag', got)), tags)}"
    if kind == "union_tag_not_found":
        return f"the key {context['discriminator']} is required, because it determines the other keys; add it"
    rule = _RULES.get(kind, "").format_map(context) or detail["msg"].removeprefix("Input ").replace("should", "must", 1)
    return f"{rule}, got {_shown(got)}"


def _shown(value: Any) -> str:
    """Returns the representation of a value, shortened if it is long."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = shown.maxlong = 80
    return shown.repr(value)


def fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """Returns the keys of a model at location `loc`; empty if any key is allowed."""
    from nasfuse.spec.schema.fields import children_of, members_of

    candidates: list[Any] = [model]
    for part in loc:
        candidates = [child for candidate in candidates for child in children_of(candidate, part)]
    names: list[str] = []
    for member in (member for candidate in candidates for member in members_of(candidate)):
        if isinstance(member, type) and issubclass(member, BaseModel):
            own = [field.alias or name for name, field in member.model_fields.items()]
            names += [name for name in own if name not in names]
    return names
