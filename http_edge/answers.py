"""Answers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from adapters.contract import Headers, Response


def json_response(
    document: Mapping[str, Any], *, status: int = 200, headers: Headers = ()
) -> Response:
    """``document`` as an answer."""
    return Response(
        status=status,
        headers=(("content-type", "application/json"), *headers),
        body=orjson.dumps(document),
    )
