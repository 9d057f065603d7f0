"""Reading a provider's JSON: typed access by path, with errors that say where.

A path is names joined by dots (``pull_request.head.sha``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import orjson

from adapters.errors import PayloadError

T = TypeVar("T")
Document: TypeAlias = Mapping[str, Any]

_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def parse(body: bytes) -> Document:
    """Parse a body that must be a JSON object.

    Raises:
        PayloadError: no JSON (NaN, trailing bytes and invalid UTF-8 included), or no object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Not chained: the decoder's error holds the whole body.
        raise PayloadError("is not valid JSON") from None
    if not isinstance(document, dict):
        raise PayloadError("must be a JSON object")
    return document


def parse_list(body: bytes) -> tuple[Document, ...]:
    """Parse a body that must be a JSON list of objects.

    Raises:
        PayloadError: no JSON, no list, or a list with something else in it.
    """
    try:
        items = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise PayloadError("is not valid JSON") from None
    if not isinstance(items, list):
        raise PayloadError("must be a JSON list")
    return _all_objects(items, "")


def find(document: Document, path: str) -> Any:  # noqa: ANN401  (JSON is Any)
    """What is at ``path``, or None where any step of it is missing."""
    value: Any = document
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def read(document: Document, path: str, kind: type[T]) -> T:
    """The value of type ``kind`` at ``path``; a bool is no number.

    Raises:
        PayloadError: missing, null or of another type.
    """
    value = optional(document, path, kind)
    if value is None:
        raise PayloadError("is missing", path=path)
    return value


def optional(document: Document, path: str, kind: type[T]) -> T | None:
    """The value of type ``kind`` at ``path``, or None where it is missing or null.

    Raises:
        PayloadError: present and of another type.
    """
    value = find(document, path)
    if value is None:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise PayloadError(f"must be {_NAMES[kind]}", path=path)
    return value


def read_object(document: Document, path: str) -> Document:
    """The object at ``path``.

    Raises:
        PayloadError: missing, null or no object.
    """
    return read(document, path, dict)


def objects(document: Document, path: str) -> tuple[Document, ...]:
    """The objects of the list at ``path``; none where it is missing or null.

    Raises:
        PayloadError: no list, or a list with something else in it.
    """
    return _all_objects(optional(document, path, list) or [], path)


def _all_objects(values: list[Any], path: str) -> tuple[Document, ...]:
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise PayloadError("must be an object", path=f"{path}[{index}]")
    return tuple(values)


def instant(document: Document, path: str) -> datetime | None:
    """The time at ``path`` in UTC, or None where it is missing or null.

    A string is read as ISO 8601 and must say its offset; a whole number as seconds since the epoch.

    Raises:
        PayloadError: no such time.
    """
    value = find(document, path)
    if value is None:
        return None
    try:
        return _instant(value)
    except (ValueError, OverflowError, OSError):
        message = "must be an ISO 8601 time with an offset, or seconds since the epoch"
        raise PayloadError(message, path=path) from None


def _instant(value: object) -> datetime:
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        time = datetime.fromisoformat(value)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    raise ValueError("no time")


def bounded(text: str | None, *, limit: int) -> str | None:
    """``text`` cut to ``limit`` characters; the last ones then say that it was cut."""
    if text is None or len(text) <= limit:
        return text
    marker = "… [cut]"
    return text[: limit - len(marker)] + marker
