"""Base class of the configuration objects, and the messages for validation errors."""

import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from nasfuse.errors import ConfigError, Problem, nearest
from nasfuse.spec.schema.yaml_file import Document, KeyPath, dotted


class MisfitError(ValueError):
    """A value that is inconsistent with other values, reported under one key of the object.

    Attributes:
        key: Dotted path, relative to the object, of the value to correct.
    """

    def __init__(self, key: str, what: str) -> None:
        """Stores the dotted `key`; `what` is the message."""
        super().__init__(what)
        self.key = key


class Model(BaseModel):
    """An immutable, strictly typed configuration object; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
    for detail in error.errors(include_url=False):
        path = _user_path(detail, values)
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, MisfitError):
            path = (*path, *cause.key.split("."))
        line = document.line_of(path) if document else None
        problems.append(Problem(dotted(path), _words(model, detail, path), line))
    return sorted(problems, key=lambda problem: problem.line or 0)


def _user_path(detail: Any, values: Any) -> KeyPath:
    """Returns the path of an error in the user's file, without the union tags that pydantic adds to locations."""
    path: list[str | int] = []
    here = values
    for position, part in enumerate(detail["loc"]):
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
    message = detail["msg"].removeprefix("Input ").replace("should", "must", 1)
    return f"{message}, got {got!r}"


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
