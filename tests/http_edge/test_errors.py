"""One table from exception to status, complete; one shape."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest

import actors
import adapters
import persistence
from actors.errors import (
    BusyError,
    CredentialsRefusedError,
    DomainError,
    IncapableError,
    LoginError,
    NotAllowedError,
    WrongStateError,
)
from actors.platform.errors import (
    InvalidTokenError,
    PlatformError,
    PlatformRefusedError,
    PlatformUnavailableError,
    SecretLostError,
)
from adapters.errors import (
    ActionError,
    AdapterError,
    PayloadError,
    SignatureError,
    UnknownProviderError,
)
from http_edge.errors import (
    STATUS_OF,
    EdgeError,
    InvalidError,
    NotFoundError,
    TooLargeError,
    from_exception,
    to_response,
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

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOTS = (AdapterError, StoreError, PlatformError, DomainError)
BY_THEIR_ROOT = {
    "PlatformUnavailableError",
    "PlatformRefusedError",
    "PlatformMisconfiguredError",
    "BatchMalformedError",
}
"""A caller of ours can tell none of these apart: a dependency is not there, come back."""


def tree(root: type[Exception]) -> Iterator[type[Exception]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_every_error_of_every_folder_has_its_row() -> None:
    """A new error must be given a status, or be named here as covered by its root's."""
    for package in (adapters, persistence, actors):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name:
                importlib.import_module(module.name)

    known = {kind for root in ROOTS for kind in tree(root)}
    ours = {
        kind
        for kind in known
        if kind.__module__.partition(".")[0] in {"adapters", "persistence", "actors"}
    }

    assert {kind.__name__ for kind in ours - set(STATUS_OF)} == BY_THEIR_ROOT
    assert set(STATUS_OF) <= ours


def test_no_row_hides_a_later_one() -> None:
    """The first that fits wins, so a root comes after its children."""
    rows = list(STATUS_OF)

    for index, kind in enumerate(rows):
        assert not any(issubclass(later, kind) for later in rows[index + 1 :])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (SignatureError("no"), 401, "INVALID_SIGNATURE"),
        (PayloadError("no", path="a.b"), 400, "MALFORMED_PAYLOAD"),
        (UnknownProviderError("gopher"), 404, "NOT_FOUND"),
        (ActionError("no", field="target"), 422, "INVALID_ACTION"),
        (StoreFullError("no", retry_after=timedelta(seconds=9)), 503, "OVERLOADED"),
        (StoreUnavailableError("no"), 503, "STORE_UNAVAILABLE"),
        (SchemaError("no"), 503, "STORE_UNAVAILABLE"),
        (ConflictError("no"), 409, "CONFLICT"),
        (MissingError("no"), 404, "NOT_FOUND"),
        (FencedError("no"), 503, "MOVED"),
        (ChangedError("no"), 409, "CONNECTION_NOT_ACTIVE"),
        (StaleError("no"), 412, "PRECONDITION_FAILED"),
        (WrongStateError("no"), 409, "CONFLICT"),
        (NotAllowedError("no"), 403, "PROVIDER_NOT_ALLOWED"),
        (IncapableError("no"), 422, "CAPABILITY_MISSING"),
        (CredentialsRefusedError("no"), 422, "CREDENTIALS_REFUSED"),
        (LoginError("no"), 400, "LOGIN_FAILED"),
        (BusyError("no"), 503, "BUSY"),
        (InvalidTokenError("no"), 401, "UNAUTHENTICATED"),
        (SecretLostError("no"), 409, "SECRET_LOST"),
        (PlatformUnavailableError("no"), 503, "DEPENDENCY_UNAVAILABLE"),
        (PlatformRefusedError("M33", "DENIED"), 503, "DEPENDENCY_UNAVAILABLE"),
    ],
)
def test_each_error_has_its_status_and_503_says_when_to_come_back(
    error: Exception, status: int, code: str
) -> None:
    """P7: every 503 carries Retry-After."""
    shown = from_exception(error)

    assert (shown.status, shown.code, str(shown)) == (status, code, str(error))
    assert (shown.retry_after is not None) == (status == 503)


def test_the_field_is_told_where_one_is_known() -> None:
    assert from_exception(PayloadError("x", path="a.b")).details == {"field": "a.b"}
    assert from_exception(ActionError("x", field="target")).details == {"field": "target"}
    assert from_exception(PayloadError("x")).details == {}


@pytest.mark.parametrize(
    "error",
    [
        AdapterError("s3cret"),
        StoreError("s3cret"),
        DomainError("s3cret"),
        KeyError("s3cret"),
    ],
)
def test_p8_our_own_bugs_say_nothing_of_themselves(error: Exception) -> None:
    shown = from_exception(error)

    assert (shown.status, shown.code) == (500, "INTERNAL_ERROR")
    assert "s3cret" not in str(shown)


def test_an_error_of_the_edge_stays_as_it_is() -> None:
    error = NotFoundError("action")

    assert from_exception(error) is error


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        (timedelta(milliseconds=1), "1"),
        (timedelta(seconds=2.01), "3"),
        (timedelta(seconds=60), "60"),
        (timedelta(seconds=-5), "1"),
    ],
)
def test_retry_after_is_whole_seconds_rounded_up(wait: timedelta, seconds: str) -> None:
    response = to_response(EdgeError(429, "RATE_LIMITED", "slow", retry_after=wait), now=NOW)

    assert response.header("retry-after") == seconds


def test_the_retry_after_of_the_error_wins() -> None:
    full = from_exception(StoreFullError("full", retry_after=timedelta(seconds=9)))
    busy = from_exception(PlatformUnavailableError("busy", retry_after=timedelta(seconds=7)))
    unsaid = from_exception(PlatformUnavailableError("busy"))

    assert full.retry_after == timedelta(seconds=9)
    assert busy.retry_after == timedelta(seconds=7)
    assert unsaid.retry_after == timedelta(seconds=2)


def test_the_shape_is_the_prds() -> None:
    """PRD, section 11: code, message, details, timestamp."""
    error = TooLargeError(10)

    response = to_response(error, now=NOW, correlation_id="corr-1")

    assert response.status == 413
    assert orjson.loads(response.body) == {
        "error": {
            "code": "TOO_LARGE",
            "message": "the body is over 10 bytes",
            "details": {"limit_bytes": 10, "correlation_id": "corr-1"},
            "timestamp": "2026-03-01T12:00:00+00:00",
        }
    }
    assert error.details == {"limit_bytes": 10}


def test_without_a_correlation_id_none_is_told() -> None:
    document = orjson.loads(to_response(InvalidError("no"), now=NOW).body)

    assert document["error"]["details"] == {}


def test_only_callers_of_the_api_are_asked_for_a_bearer_token() -> None:
    token = to_response(from_exception(InvalidTokenError("no")), now=NOW)
    signature = to_response(from_exception(SignatureError("no")), now=NOW)

    assert token.header("www-authenticate") == "Bearer"
    assert signature.header("www-authenticate") is None
