"""Fields of configuration objects as dotted paths, and their types."""

import json
import types
import typing
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Union

from pydantic import BaseModel, TypeAdapter, ValidationError

#: Fields whose values are the tags of unions.
_DISCRIMINATORS = ("kind", "encoder")


def members_of(annotation: Any) -> Iterator[Any]:
    """Yields the members of a union, without None and without metadata."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        yield from members_of(typing.get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in typing.get_args(annotation):
            yield from members_of(member)
    elif annotation is not type(None):
        yield annotation


def children_of(annotation: Any, part: str | int) -> list[Any]:
    """Returns the possible types of key `part` in a value of type `annotation`.

    The tag of a discriminated union, which pydantic includes in locations, selects the member of that kind.
    """
    found: list[Any] = []
    for member in members_of(annotation):
        origin = typing.get_origin(member)
        if isinstance(member, type) and issubclass(member, BaseModel):
            if part in member.model_fields:
                field = member.model_fields[str(part)]
                inner = field.annotation
                found.append(Annotated[inner, *field.metadata] if field.metadata else inner)
            if _is_tagged(member, part):  # an option may have the name of its kind
                found.append(member)
        elif origin is dict:
            found.append(typing.get_args(member)[1])
        elif origin in (list, tuple) and isinstance(part, int):
            found.append(typing.get_args(member)[0])
    return found


def tagged_members(types: Sequence[Any], tag: str | int) -> list[type[BaseModel]]:
    """Returns the models with the tag `tag` in a value of one of `types`; empty unless these are a union of models.

    In a location of pydantic, the tag follows the key of the union, also where an option has the name of its kind.
    """
    members = [member for one in types for member in members_of(one)]
    models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
    return [member for member in models if _is_tagged(member, tag)] if len(models) > 1 else []


def _is_tagged(model: type[BaseModel], tag: str | int) -> bool:
    fields = (model.model_fields[name] for name in _DISCRIMINATORS if name in model.model_fields)
    return any(
        typing.get_origin(field.annotation) is typing.Literal and tag in typing.get_args(field.annotation)
        for field in fields
    )


@cache
def types_at(model: type[BaseModel], path: str) -> tuple[Any, ...]:
    """Returns the possible types of the field at the dotted `path` of `model`; empty if there is no such field."""
    candidates: list[Any] = [model]
    for part in path.split("."):
        candidates = [child for candidate in candidates for child in children_of(candidate, part)]
    return tuple(candidates)


@cache
def known_paths(model: type[BaseModel]) -> tuple[str, ...]:
    """Returns the dotted paths of all plain values in `model`; `*` stands for the key of a mapping."""
    paths = (path for name, field in model.model_fields.items() for path in _below(field.annotation, name))
    return tuple(dict.fromkeys(paths))


def _below(annotation: Any, path: str) -> list[str]:
    paths: list[str] = []
    for member in members_of(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            paths += [f"{path}.{below}" for below in known_paths(member)]
        elif typing.get_origin(member) is dict:
            paths += _below(typing.get_args(member)[1], f"{path}.*")
        else:
            paths.append(path)
    return paths


def accepts(model: type[BaseModel], path: str, value: Any) -> bool:
    """Returns whether `value` is valid for a type of the field at `path`."""
    return any(_takes(adapter, value) for adapter in _adapters_at(model, path))


@cache
def _adapters_at(model: type[BaseModel], path: str) -> tuple[TypeAdapter[Any], ...]:
    """Returns validators of the types of a field; pydantic compiles each when it is created, which takes long."""
    return tuple(TypeAdapter(annotation) for annotation in types_at(model, path))


def _takes(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        if isinstance(value, dict):  # JSON mode is the strict one that still takes a list for a tuple
            adapter.validate_json(json.dumps(value, default=str), strict=True)
        else:
            adapter.validate_python(value, strict=not isinstance(value, list))
    except ValidationError:
        return False
    return True
