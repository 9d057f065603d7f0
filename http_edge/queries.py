"""What callers may ask for in a URL, as types; unknown, doubled and malformed parameters are refused."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from attrs import frozen
from msgspec import Meta

from adapters.manifest import Category
from http_edge.errors import InvalidError
from http_edge.reading import shaped
from persistence.records import ActionState, ConnectionState

MOST_PER_PAGE = 200
_MOST_PARAMETERS = 100
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)

_Query = TypeVar("_Query")

Word = Annotated[str, Meta(min_length=1, max_length=200)]
Limit = Annotated[int, Meta(ge=1, le=MOST_PER_PAGE, description="How many at the most.")]
Cursor = Annotated[UUID, Meta(description="`next_cursor` of the page before.")]
Tag = Annotated[
    str,
    Meta(
        max_length=301,
        pattern=r"^[^:]{1,100}:",
        description="`key:value`; given more than once, all must be there.",
    ),
]


@frozen(kw_only=True)
class NoQuery:
    """This route takes no parameters."""


@frozen(kw_only=True)
class ProviderQuery:
    """Which providers: of a category, with all of these capabilities."""

    category: Category | None = None
    capability: tuple[Word, ...] = ()


@frozen(kw_only=True)
class ConnectionQuery:
    """Which connections: all that are named must hold; deleted ones are listed only by their status."""

    provider_id: Word | None = None
    status: tuple[ConnectionState, ...] = ()
    tag: Annotated[tuple[Tag, ...], Meta(max_length=20)] = ()
    limit: Limit = 50
    cursor: Cursor | None = None


@frozen(kw_only=True)
class ActionQuery:
    """Which actions: all that are named must hold."""

    connection_id: UUID | None = None
    status: tuple[ActionState, ...] = ()
    canonical_type: Word | None = None
    correlation_id: Word | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


@frozen(kw_only=True)
class BackfillQuery:
    """How many of the newest backfills."""

    limit: Limit = 50


@frozen(kw_only=True)
class CallbackQuery:
    """What an authorization server sends a person's browser back with, and maybe more (RFC 6749, 4.1.2)."""

    state: Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]*$")]
    code: (
        Annotated[str, Meta(min_length=1, max_length=4_096, pattern=r"^[\x20-\x7e]*$")] | None
    ) = None
    error: Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[\x20-\x7e]*$")] | None = (
        None
    )


def read_query(text: str, kind: type[_Query], *, tolerant: bool = False) -> _Query:
    """The query string ``text`` as ``kind``; ``tolerant`` passes over parameters that are not known.

    Raises:
        InvalidError: with the first parameter that is wrong, unknown or given twice where one is meant.
    """
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict"
        )
    except ValueError as error:
        raise InvalidError("the query can not be read") from error
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    fields = _fields(kind)
    document = {
        name[:200]: _value(name, values, fields.get(name))
        for name, values in given.items()
        if name in fields or not tolerant
    }
    return shaped(document, kind)


def _value(name: str, values: Sequence[str], hint: Any) -> object:  # noqa: ANN401 - a type
    if hint is not None and _holds(hint, tuple):
        return list(values)
    if len(values) > 1:
        raise InvalidError("is given more than once", field=name[:200])
    if hint is not None and _holds(hint, int) and _WHOLE.fullmatch(values[0]):
        return int(values[0])
    return values[0]


def _holds(hint: Any, kind: type) -> bool:  # noqa: ANN401 - a type
    """Whether a value of ``kind`` is meant by ``hint``: through Annotated and unions."""
    origin = typing.get_origin(hint)
    if hint is kind or origin is kind:
        return True
    return (
        any(_holds(part, kind) for part in typing.get_args(hint)) if origin is not tuple else False
    )


def _fields(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)
