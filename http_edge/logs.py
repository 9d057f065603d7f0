"""Structured logs: one JSON object a line, on standard error; never a body, a token or a signature."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from actors.metrics import Metrics
from adapters.redaction import redact_text
from runtime import Clock, GaveUpError, Observer

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def make_log(level: str, clock: Clock, out: TextIO = sys.stderr) -> FilteringBoundLogger:
    """A logger of this program. What looks like a secret is masked, wherever it stands in a line."""

    def stamp(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        entry["timestamp"] = clock.now().isoformat()
        return entry

    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            _MaskedRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
    )
    return log


class _MaskedRenderer:
    """The last net: what has the shape of a credential does not leave, whoever put it there."""

    def __init__(self) -> None:
        self._json = structlog.processors.JSONRenderer(sort_keys=True, default=str)

    def __call__(self, log: object, name: str, entry: MutableMapping[str, Any]) -> str:
        return redact_text(str(self._json(log, name, entry)))


class LoggingObserver(Observer):
    """Tells the log and the metrics what happens in the tree. See ``runtime.Observer``."""

    def __init__(self, log: FilteringBoundLogger, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

    def started(self, address: str, kind: str) -> None:
        """See ``Observer.started``."""
        self._log.debug("actor.started", address=address, kind=kind)

    def restarted(self, address: str, restarts: int) -> None:
        """See ``Observer.restarted``."""
        self._log.warning("actor.restarted", address=address, restarts=restarts)

    def stopped(self, address: str, reason: str) -> None:
        """See ``Observer.stopped``."""
        self._log.debug("actor.stopped", address=address, reason=reason)

    def crashed(self, address: str, error: Exception) -> None:
        """See ``Observer.crashed``."""
        self._metrics.crashes.labels(_kind(address)).inc()
        self._log.error("actor.crashed", address=address, exc_info=error)

    def gave_up(self, address: str, error: GaveUpError) -> None:
        """See ``Observer.gave_up``."""
        self._log.error("actor.gave_up", address=address, reason=str(error))

    def quarantined(self, address: str, retry_after: timedelta, error: Exception) -> None:
        """See ``Observer.quarantined``."""
        self._log.error(
            "actor.quarantined",
            address=address,
            retry_after_s=retry_after.total_seconds(),
            reason=type(error).__name__,
        )

    def discarded(self, address: str, messages: int) -> None:
        """See ``Observer.discarded``; all of ours are hints, the work is stored."""
        self._log.debug("actor.discarded", address=address, messages=messages)


def _kind(address: str) -> str:
    """The part of an address that is not a tenant's."""
    return address.split("/")[1] if address.count("/") else address
