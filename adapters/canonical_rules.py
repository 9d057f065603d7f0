"""Which fields of a shape go together, as data: checked, and said in the JSON Schema, from one place.

A field that is null counts as left out.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any, Protocol, TypeAlias

from attrs import frozen

_Schema: TypeAlias = dict[str, Any]
_NULL: _Schema = {"type": "null"}


class Rule(Protocol):
    """What must hold of the fields that are given."""

    def broken(self, given: Set[str]) -> tuple[str, str] | None:
        """The field that is wrong ("" for the whole) and what is wrong with it, or None."""
        ...

    def schema(self) -> dict[str, Any]:
        """The same as a JSON Schema (2020-12)."""
        ...


@frozen
class OneOf:
    """Of all the fields named here, those of exactly one way are given."""

    ways: tuple[tuple[str, ...], ...]

    def broken(self, given: Set[str]) -> tuple[str, str] | None:
        """See ``Rule.broken``; names what would complete the way that is nearest."""
        ours = given & self._fields()
        if any(ours == set(way) for way in self.ways):
            return None
        if not ours:
            return "", f"must have {self._told()}"
        nearest = max(self.ways, key=lambda way: (len(ours & set(way)), -len(way)))
        missing = [name for name in nearest if name not in ours]
        if missing:
            return missing[0], f"is required: {self._told()}"
        return min(ours - set(nearest)), f"does not stand beside {' and '.join(nearest)}"

    def schema(self) -> dict[str, Any]:
        """See ``Rule.schema``."""
        fields = sorted(self._fields())
        return {
            "oneOf": [
                {
                    "required": list(way),
                    "properties": {
                        name: {"not": _NULL} if name in way else _NULL for name in fields
                    },
                }
                for way in self.ways
            ]
        }

    def _fields(self) -> Set[str]:
        return {name for way in self.ways for name in way}

    def _told(self) -> str:
        return ", or ".join(" and ".join(way) for way in self.ways)


@frozen
class AnyOf:
    """At least one of these fields is given."""

    fields: tuple[str, ...]

    def broken(self, given: Set[str]) -> tuple[str, str] | None:
        """See ``Rule.broken``."""
        return None if given & set(self.fields) else ("", f"must have {' or '.join(self.fields)}")

    def schema(self) -> dict[str, Any]:
        """See ``Rule.schema``."""
        return {
            "anyOf": [
                {"required": [name], "properties": {name: {"not": _NULL}}} for name in self.fields
            ]
        }


@frozen
class NotBeside:
    """Where ``field`` is given, none of ``others`` is."""

    field: str
    others: tuple[str, ...]

    def broken(self, given: Set[str]) -> tuple[str, str] | None:
        """See ``Rule.broken``."""
        beside = sorted(given & set(self.others)) if self.field in given else []
        return (beside[0], f"does not stand beside {self.field}") if beside else None

    def schema(self) -> dict[str, Any]:
        """See ``Rule.schema``."""
        return {
            "anyOf": [
                {"properties": {self.field: _NULL}},
                {"properties": dict.fromkeys(self.others, _NULL)},
            ]
        }
