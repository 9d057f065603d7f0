"""How values are kept, and how they come back the same from both engines."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

_LONGEST_TEXT = 512
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def kept(text: str) -> str:
    """A text that came from outside, as it is kept: the same for the same text, always storable.

    PostgreSQL takes no U+0000 and no index entry above 2,700 bytes, and one such delivery must not spoil the
    batch of its neighbours; what is too long keeps its beginning and gets its digest.
    """
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if len(text) > _LONGEST_TEXT:
        digest = hashlib.sha256(text.encode()).hexdigest()
        text = f"{text[: _LONGEST_TEXT - len(digest) - 1]}~{digest}"
    return text


def kept_or_none(text: str | None) -> str | None:
    """``kept``, where there may be no text."""
    return None if text is None else kept(text)


def document(value: bytes) -> str:
    """A JSON object or array as it is kept: parsed once, so that both engines refuse the same.

    Raises:
        ValueError: it is no JSON.
    """
    return _storable(orjson.dumps(orjson.loads(value)))


def document_or_none(value: bytes | None) -> str | None:
    """``document``, where there may be none."""
    return None if value is None else document(value)


def canonical(value: bytes) -> str:
    """``document`` with sorted keys, for what is hashed as it is kept."""
    return _storable(orjson.dumps(orjson.loads(value), option=orjson.OPT_SORT_KEYS))


def _storable(text: bytes) -> str:
    return _ESCAPED_NUL.sub(rb"\1\\ufffd", text).decode()


def uuid_of(value: Any) -> UUID:  # noqa: ANN401 - text from SQLite, asyncpg's own subclass from PostgreSQL
    """A plain UUID: orjson refuses subclasses, and keys are compared by type in places."""
    return UUID(value) if isinstance(value, str) else UUID(int=value.int)


def uuid_or_none(value: Any) -> UUID | None:  # noqa: ANN401
    """``uuid_of``, where there may be none."""
    return None if value is None else uuid_of(value)


def places_of(rows: Iterable[Any]) -> tuple[tuple[str, UUID], ...]:
    """(tenant, connection) of each row."""
    return tuple((row["tenant_id"], uuid_of(row["connection_id"])) for row in rows)


def time_of(value: Any) -> datetime:  # noqa: ANN401
    """An aware time in UTC."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def time_or_none(value: Any) -> datetime | None:  # noqa: ANN401
    """``time_of``, where there may be none."""
    return None if value is None else time_of(value)


def bytes_or_none(value: Any) -> bytes | None:  # noqa: ANN401
    """A JSON document as bytes, where there may be none."""
    return value.encode() if isinstance(value, str) else value
