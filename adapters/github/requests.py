"""Requests as GitHub's REST API wants them, without credentials."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from adapters.contract import Headers, Request

API_VERSION = "2022-11-28"
HEADERS: Headers = (
    ("accept", "application/vnd.github+json"),
    ("user-agent", "zeroui-integration-adapters"),
    ("x-github-api-version", API_VERSION),
)


def reading(url: str) -> Request:
    """A request that changes nothing."""
    return Request(method="GET", url=url, headers=HEADERS)


def writing(method: str, url: str, fields: Mapping[str, object] | None = None) -> Request:
    """A request that may have an effect; the same fields make the same bytes."""
    if fields is None:
        return Request(method=method, url=url, headers=HEADERS, writes=True)
    return Request(
        method=method,
        url=url,
        headers=(*HEADERS, ("content-type", "application/json")),
        body=orjson.dumps(fields, option=orjson.OPT_SORT_KEYS),
        writes=True,
    )


def stamp(time: datetime) -> str:
    """A time as GitHub reads and writes it: UTC, in whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
