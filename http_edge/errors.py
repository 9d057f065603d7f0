"""Every error a caller can see: one table from exception to status, one shape (PRD, section 11)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from attrs import frozen

from actors.errors import (
    BusyError,
    CredentialsRefusedError,
    DomainError,
    IncapableError,
    LoginError,
    NotAllowedError,
    WrongStateError,
)
from actors.platform.errors import InvalidTokenError, PlatformError, SecretLostError
from adapters.contract import Headers, Response
from adapters.errors import (
    ActionError,
    AdapterError,
    CredentialsError,
    PayloadError,
    SettingsError,
    SignatureError,
    UnknownProviderError,
)
from persistence.errors import (
    ChangedError,
    ConflictError,
    FencedError,
    MissingError,
    SchemaError,
    StaleError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)

_SOON = timedelta(seconds=2)


class EdgeError(Exception):
    """What is wrong with a request: ``status``, ``code`` in capitals, a message for a person."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = dict(details or {})
        self.retry_after = retry_after


class NotFoundError(EdgeError):
    """There is no such thing, or it is not yours: one answer for both."""

    def __init__(self, what: str) -> None:
        super().__init__(404, "NOT_FOUND", f"no such {what}")


class InvalidError(EdgeError):
    """The request is understood and wrong; ``field`` says where."""

    def __init__(self, message: str, *, field: str = "", status: int = 400) -> None:
        super().__init__(
            status,
            "INVALID_REQUEST",
            f"{field}: {message}" if field else message,
            details={"field": field} if field else {},
        )


class TooLargeError(EdgeError):
    """The body is larger than ``limit_bytes``."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            413,
            "TOO_LARGE",
            f"the body is over {limit_bytes} bytes",
            details={"limit_bytes": limit_bytes},
        )


@frozen
class _Rule:
    status: int
    code: str
    retry: bool = False


# The first that fits wins; the whole tree of each folder is covered (a test holds that).
STATUS_OF: Mapping[type[Exception], _Rule] = {
    SignatureError: _Rule(401, "INVALID_SIGNATURE"),
    PayloadError: _Rule(400, "MALFORMED_PAYLOAD"),
    UnknownProviderError: _Rule(404, "NOT_FOUND"),
    ActionError: _Rule(422, "INVALID_ACTION"),
    SettingsError: _Rule(422, "INVALID_SETTINGS"),
    CredentialsError: _Rule(422, "INVALID_CREDENTIALS"),
    AdapterError: _Rule(500, "INTERNAL_ERROR"),
    StoreFullError: _Rule(503, "OVERLOADED", retry=True),
    StoreUnavailableError: _Rule(503, "STORE_UNAVAILABLE", retry=True),
    SchemaError: _Rule(503, "STORE_UNAVAILABLE", retry=True),
    ConflictError: _Rule(409, "CONFLICT"),
    MissingError: _Rule(404, "NOT_FOUND"),
    FencedError: _Rule(503, "MOVED", retry=True),
    ChangedError: _Rule(409, "CONNECTION_NOT_ACTIVE"),
    StaleError: _Rule(412, "PRECONDITION_FAILED"),
    StoreError: _Rule(500, "INTERNAL_ERROR"),
    InvalidTokenError: _Rule(401, "UNAUTHENTICATED"),
    SecretLostError: _Rule(409, "SECRET_LOST"),
    PlatformError: _Rule(503, "DEPENDENCY_UNAVAILABLE", retry=True),
    WrongStateError: _Rule(409, "CONFLICT"),
    NotAllowedError: _Rule(403, "PROVIDER_NOT_ALLOWED"),
    IncapableError: _Rule(422, "CAPABILITY_MISSING"),
    CredentialsRefusedError: _Rule(422, "CREDENTIALS_REFUSED"),
    LoginError: _Rule(400, "LOGIN_FAILED"),
    BusyError: _Rule(503, "BUSY", retry=True),
    DomainError: _Rule(500, "INTERNAL_ERROR"),
}


def from_exception(error: Exception) -> EdgeError:
    """What a caller is told of ``error``; what is not in the table is our bug, and says nothing of itself."""
    if isinstance(error, EdgeError):
        return error
    rule = next((rule for kind, rule in STATUS_OF.items() if isinstance(error, kind)), None)
    if rule is None or rule.status == 500:
        return EdgeError(500, "INTERNAL_ERROR", "an internal error; it is in the log")
    asked = getattr(error, "retry_after", None)
    wait = (asked if isinstance(asked, timedelta) else _SOON) if rule.retry else None
    field = getattr(error, "field", None) or getattr(error, "path", None)
    return EdgeError(
        rule.status,
        rule.code,
        str(error),
        details={"field": field} if field and isinstance(field, str) else {},
        retry_after=wait,
    )


def to_response(error: EdgeError, *, now: datetime, correlation_id: str | None = None) -> Response:
    """The error in the PRD's shape."""
    details = dict(error.details)
    if correlation_id is not None:
        details["correlation_id"] = correlation_id
    document = {
        "error": {
            "code": error.code,
            "message": str(error),
            "details": details,
            "timestamp": now.isoformat(),
        }
    }
    headers: Headers = (("content-type", "application/json"),)
    if error.retry_after is not None:
        headers += (("retry-after", str(max(1, math.ceil(error.retry_after.total_seconds())))),)
    if error.status == 401 and error.code == "UNAUTHENTICATED":
        headers += (("www-authenticate", "Bearer"),)
    return Response(status=error.status, headers=headers, body=orjson.dumps(document))
