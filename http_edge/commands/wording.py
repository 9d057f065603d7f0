"""Values of the API as text on a terminal: nothing in them moves the cursor, changes colours or starts a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

NOTHING = "-"


def plain(text: str) -> str:
    """The text with what does not print (escapes, line ends, turns of direction) written out."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def worded(value: object) -> str:
    """One value as people read it."""
    match value:
        case str() | list() | dict() | None if not value:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case list() if not any(isinstance(entry, dict | list) for entry in value):
            return ", ".join(worded(entry) for entry in value)
        case dict() | list():
            return plain(orjson.dumps(value).decode())
        case _:
            return plain(str(value))


def rows_of(document: Mapping[str, Any], *, under: str = "") -> Iterator[tuple[str, str]]:
    """The single values of a document, those of inner documents by their path; lists of documents are left out."""
    for name, value in document.items():
        where = f"{under}{plain(name)}"
        if isinstance(value, dict) and value:
            yield from rows_of(value, under=f"{where}.")
        elif not is_table(value):
            yield where, worded(value)


def is_table(value: object) -> bool:
    """Whether it is a list of documents."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def fields_of(schema: Mapping[str, Any]) -> list[dict[str, object]]:
    """The fields of an object's JSON Schema, a row each; their limits are left to the schema itself."""
    needed = schema.get("required", ())
    return [
        {"field": name, "needed": name in needed, **_described(field)}
        for name, field in schema.get("properties", {}).items()
    ]


def _described(field: Mapping[str, Any]) -> dict[str, object]:
    """Of what type it is and what it says; one that may be null is described by what else it may be."""
    forms = [form for form in field.get("anyOf", [field]) if form.get("type") != "null"]
    types = [form.get("enum") or form.get("type") or "any" for form in forms]
    said = field.get("description") or next(
        (form["description"] for form in forms if "description" in form), None
    )
    return {"is": " or ".join(worded(each) for each in types), "what": said}
