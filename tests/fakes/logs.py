"""A log that remembers what was told, as the program's own logger would have written it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from tests.fakes.watching import Watch


class RememberedLog:
    """``log`` is the logger; ``entries`` what was said, oldest first, with its level."""

    def __init__(self, watch: Watch) -> None:
        self.entries: list[dict[str, Any]] = []
        self._watch = watch
        self.log: FilteringBoundLogger = structlog.wrap_logger(
            structlog.PrintLogger(),
            processors=[structlog.processors.add_log_level, self._remember],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )

    def of(self, event: str) -> list[dict[str, Any]]:
        """The entries of one event."""
        return [entry for entry in self.entries if entry["event"] == event]

    def _remember(
        self, _: object, __: str, entry: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        self.entries.append(dict(entry))
        self._watch.notify()
        raise structlog.DropEvent
