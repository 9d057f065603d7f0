"""Looks for secrets in whatever a node leaves behind: as they are, and as they are usually dressed."""

from __future__ import annotations

import base64
import gc
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

import asyncpg
import orjson

from persistence.opening import is_postgres, sqlite_path
from tests.postgres import on_postgres

SHORTEST = 8
"""Shorter ones are found everywhere."""
_OURS = ("runtime", "actors", "adapters", "http_edge", "persistence")
_NOT_THE_NODE = ("embedded", "simulator", "simulation", "world", "surroundings", "fault")


def forms(secret: bytes) -> dict[str, bytes]:
    """The ways in which a secret may stand in a text or a blob."""
    found = {
        "raw": secret,
        "hex": secret.hex().encode(),
        "URL-encoded": quote(secret, safe="").encode(),
        "form-encoded": quote_plus(secret).encode(),
        "repr": repr(secret)[2:-1].encode(),
        **{f"base64 at {at}": _inside_base64(secret, at) for at in range(3)},
        **{
            f"base64url at {at}": _inside_base64(secret, at).translate(
                bytes.maketrans(b"+/", b"-_")
            )
            for at in range(3)
        },
    }
    if secret.isascii():
        found["JSON"] = orjson.dumps(secret.decode())[1:-1]
    different = {dressed: form for form, dressed in reversed(found.items())}
    return {form: dressed for dressed, form in different.items()}


def _inside_base64(secret: bytes, at: int) -> bytes:
    """What is always there of a secret that begins ``at`` bytes into a group of three, whatever is around it."""
    encoded = base64.b64encode(bytes(at) + secret)
    return encoded[(0, 2, 3)[at] : (at + len(secret)) * 8 // 6]


def leaks(secrets: Mapping[str, bytes], places: Mapping[str, bytes]) -> list[str]:
    """Which secret stands where and in which form; empty: none does."""
    for name, secret in secrets.items():
        assert len(secret) >= SHORTEST, f"{name} is too short to be looked for"
    return [
        f"{name} ({form}) in {where}"
        for name, secret in secrets.items()
        for form, dressed in forms(secret).items()
        for where, content in places.items()
        if dressed in content
    ]


def database(url: str) -> dict[str, bytes]:
    """Every value of every column of every table, and of SQLite the bytes of its files as well."""
    tables = _postgres(url) if is_postgres(url) else _sqlite(sqlite_path(url))
    places: dict[str, bytes] = {}
    for table, rows in tables.items():
        for row in rows:
            for column, value in row.items():
                places.setdefault(f"{table}.{column}", b"")
                places[f"{table}.{column}"] += _bytes(value) + b"\n"
    if not is_postgres(url):
        path = sqlite_path(url)
        for file in path.parent.glob(f"{path.name}*"):
            places[f"the file {file.name}"] = file.read_bytes()
    return places


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _sqlite(path: Path) -> dict[str, list[dict[str, object]]]:
    opened = sqlite3.connect(path)
    opened.row_factory = sqlite3.Row
    try:
        names = opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: [dict(row) for row in opened.execute(f'SELECT * FROM "{name}"')]  # noqa: S608
            for (name,) in names
        }
    finally:
        opened.close()


def _postgres(dsn: str) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}

    async def read(connection: asyncpg.Connection) -> None:
        listed = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        for (name,) in await connection.fetch(listed):
            rows = await connection.fetch(f'SELECT * FROM "{name}"')  # noqa: S608
            found[name] = [dict(row) for row in rows]

    on_postgres(dsn, read)
    return found


def living() -> dict[str, bytes]:
    """The reprs of all objects of the node's own types that live, by type."""
    places: dict[str, bytes] = {}
    for thing in _objects():
        kind = f"repr of {type(thing).__module__}.{type(thing).__qualname__}"
        places[kind] = places.get(kind, b"") + repr(thing).encode() + b"\n"
    return places


def _objects() -> Iterator[object]:
    for thing in gc.get_objects():
        module = str(getattr(type(thing), "__module__", ""))
        ours = module.partition(".")[0] in _OURS
        if ours and not any(word in module for word in _NOT_THE_NODE):
            yield thing
