"""What each part of the store is made of."""

from __future__ import annotations

from persistence.dialect import Engine


class Part:
    """The methods of one Protocol, on an engine that all parts share."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
