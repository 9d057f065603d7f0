"""Reading what callers send: JSON in, frozen values out, the first wrong field named and no value repeated."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson

from adapters.manifest import AuthMethod
from adapters.schema import ShapeError, read
from http_edge.bodies import AUTH_TYPES, Auth
from http_edge.errors import InvalidError, TooLargeError

BODY_LIMIT_BYTES = 1_000_000
_DEEPEST = 100
"""How deep a document may be nested; orjson reads deeper ones than it writes."""

_Body = TypeVar("_Body")


def parse_json(raw: bytes) -> object:
    """The JSON document of a request's body.

    Raises:
        InvalidError: it is none, or nested more than 100 deep.
        TooLargeError: it is over 1 MB.
    """
    if len(raw) > BODY_LIMIT_BYTES:
        raise TooLargeError(BODY_LIMIT_BYTES)
    try:
        document = orjson.loads(raw)
    except ValueError as error:
        raise InvalidError("the body is not JSON") from error
    _check_depth(document)
    return document


def structure(raw: bytes, kind: type[_Body]) -> _Body:
    """The body as ``kind``, an empty one like ``{}``; wrong types and unknown fields are refused, never guessed at.

    Raises:
        InvalidError: with the path of the first wrong field.
        TooLargeError: it is over 1 MB.
    """
    document = parse_json(raw) if raw else {}
    if not isinstance(document, dict):
        raise InvalidError("the body must be a JSON object")
    return shaped(document, kind)


def shaped(document: object, kind: type[_Body], *, under: str = "") -> _Body:
    """The ``document`` as ``kind``; ``under`` is where in the request it stands.

    Raises:
        InvalidError: with the path of the first wrong field.
    """
    try:
        return read(document, kind)
    except ShapeError as error:
        where = ".".join(filter(None, (under, error.path)))
        raise InvalidError(error.message, field=where) from error


def auth_of(document: dict[str, Any] | None) -> Auth | None:
    """The credentials in the body's ``auth``.

    Raises:
        InvalidError: no known method, or not what that method takes.
    """
    if document is None:
        return None
    method = document.get("method", AuthMethod.TOKEN)
    kind = AUTH_TYPES.get(method) if isinstance(method, str) else None
    if kind is None:
        raise InvalidError(f"must be one of {', '.join(AUTH_TYPES)}", field="auth.method")
    return shaped(document, kind, under="auth")


def _check_depth(document: object) -> None:
    """Refuse what is nested too deeply to be written again; without recursion, as callers choose the depth."""
    waiting: list[tuple[object, int, str]] = [(document, 0, "")]
    while waiting:
        value, depth, where = waiting.pop()
        if depth > _DEEPEST:
            raise InvalidError("is nested too deeply", field=where, status=422)
        if isinstance(value, dict):
            waiting.extend(
                (entry, depth + 1, where or str(name)[:200]) for name, entry in value.items()
            )
        elif isinstance(value, list):
            waiting.extend((entry, depth + 1, where) for entry in value)
