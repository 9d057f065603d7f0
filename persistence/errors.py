"""What the store may say is wrong, sorted by who must act.

StoreError
├── StoreUnavailableError  the operator: not reachable, or it did not answer in time; nothing is known to be written
├── StoreFullError         the caller: too much is waiting already; come back after ``retry_after``
├── FencedError            the actor: another incarnation owns the connection; stop at once
├── ChangedError           the actor: the connection was changed; read it again before anything new is begun
├── ConflictError          the caller: something of that key exists and differs
├── StaleError             the caller: what it looked at has changed since; look again
├── MissingError           the caller: no such row in this tenant
└── SchemaError            the operator: the database is not at the revision this program needs
"""

from __future__ import annotations

from datetime import timedelta


class StoreError(Exception):
    """Root of all that the store raises; the message never holds a body, a secret or a DSN."""


class StoreUnavailableError(StoreError):
    """The database did not answer, or not in time. A write in flight may or may not have happened."""


class StoreFullError(StoreError):
    """A bound was reached; nothing was written."""

    def __init__(self, message: str, *, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class FencedError(StoreError):
    """The epoch is no longer the connection's; nothing was written (P10)."""


class ChangedError(StoreError):
    """The connection has another version than the lease, or is not active; nothing was written."""


class StaleError(StoreError):
    """The connection has another version than expected; nothing was written."""


class ConflictError(StoreError):
    """A row of that key exists and is not the same; nothing was written."""


class MissingError(StoreError):
    """No such row in this tenant."""


class SchemaError(StoreError):
    """The database's revision is not the one this program was written for."""
