"""Answers as JSON, from the types that the contract shows."""

from __future__ import annotations

from typing import Any

import orjson
from attrs import fields, has

from adapters.contract import Headers, Response

JSON = ("content-type", "application/json")
NOT_STORED = ("cache-control", "no-store")
"""For answers that tell what is told once."""


def json_response(view: object, *, status: int = 200, headers: Headers = ()) -> Response:
    """``view``, an attrs value, as an answer; every field of it is there, None as null."""
    return Response(status=status, headers=(JSON, *headers), body=as_json(view))


def as_json(view: object) -> bytes:
    """``view`` as JSON; what it holds may be attrs values too."""
    return orjson.dumps(view, default=_document)


def _document(value: object) -> dict[str, Any]:
    kind = type(value)
    if not has(kind):
        raise TypeError(f"{kind.__name__} can not be shown")
    return {attribute.name: getattr(value, attribute.name) for attribute in fields(kind)}
