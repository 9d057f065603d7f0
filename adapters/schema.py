"""Types as shapes: the JSON Schema that callers see, and the check of what they send, from one attrs class.

Constraints stand in the types (``Annotated[str, msgspec.Meta(max_length=200)]``); unknown fields are always refused.
Shapes are made of scalars, attrs classes (one in a union), lists of one kind and mappings of scalars.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import attrs
import msgspec

_Shape = TypeVar("_Shape")
_UNIONS = (typing.Union, types.UnionType)
_LISTS = (list, tuple)
_MAX_PATH = 200
_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$?(?P<where>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$")
_QUOTES_VALUE = re.compile(r"^Invalid (enum value|value) .*$", re.DOTALL)


class ShapeError(ValueError):
    """A document is not of the shape; ``path`` is where (``target.labels[2]``), "" for the whole. Quotes no value."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path


def read(document: object, kind: type[_Shape]) -> _Shape:
    """The JSON ``document`` (as ``orjson.loads`` gives it) as ``kind``; nothing is coerced or guessed.

    Raises:
        ShapeError: the first thing that is wrong.
    """
    unknown = next(_unknown(document, kind, ""), None)
    if unknown is not None:
        raise ShapeError("is not known here", unknown)
    try:
        return msgspec.convert(document, kind, strict=True)
    except msgspec.ValidationError as error:
        raise _shape_error(str(error)) from None


def json_schema(kind: type) -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``kind``, whole: what it refers to is inlined."""
    (schema,), components = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    inlined = _closed(_inlined(schema, components))
    return typing.cast("dict[str, Any]", inlined)


def _inlined(schema: Any, components: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(schema, list):
        return [_inlined(entry, components) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _inlined(
            {**components[schema["$ref"].removeprefix("#/$defs/")], **rest}, components
        )
    return {key: _inlined(value, components) for key, value in schema.items()}


def _closed(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """What ``read`` refuses, the schema refuses: fields it does not name."""
    if isinstance(schema, list | tuple):
        return [_closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        closed["additionalProperties"] = False
    return closed


def _unknown(document: object, kind: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - a type
    """Where the document has fields that its type has not. It goes no deeper than the type does."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        yield from _unknown(document, parts[0], path)
    elif origin in _UNIONS:
        for part in parts:
            yield from _unknown(document, part, path)
    elif isinstance(document, list) and origin in _LISTS:
        for index, entry in enumerate(document):
            yield from _unknown(entry, parts[0], f"{path}[{index}]")
    elif isinstance(document, dict) and isinstance(kind, type) and attrs.has(kind):
        yield from _unknown_fields(document, kind, path)


def _unknown_fields(document: Mapping[str, Any], kind: type, path: str) -> Iterator[str]:
    fields = _fields(kind)
    for name, value in document.items():
        at = f"{path}.{name}" if path else str(name)
        if name in fields:
            yield from _unknown(value, fields[name], at)
        else:
            yield at[:_MAX_PATH]


@cache
def _fields(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _shape_error(problem: str) -> ShapeError:
    found = _AT.match(problem)
    what, where = (found["what"], found["where"] or "") if found is not None else (problem, "")
    path = where.removeprefix(".")
    missing = _MISSING.match(what)
    if missing is not None:
        return ShapeError("is required", f"{path}.{missing['name']}".removeprefix("."))
    if _QUOTES_VALUE.match(what):
        what = "is none of the allowed values"
    return ShapeError(what[:1].lower() + what[1:], path)
