"""OAuth 2.0 as values: what is asked of an authorisation server, and what its answers mean."""

from __future__ import annotations

import base64
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from adapters.capabilities import AuthorizationServer, ClientAuthentication
from adapters.contract import Later, NeedsLogin, Refused, Request, Response, Secret
from adapters.credentials import Grant, GrantOutcome
from adapters.oauth import (
    OAuthClient,
    authorization_url,
    challenge,
    client_grant,
    code_grant,
    read_grant,
    refresh_grant,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVER = AuthorizationServer(
    authorize_url="https://login.test/authorize?audience=api",
    token_url="https://login.test/token",
    extra=(("prompt", "consent"), ("state", "not-this")),
)
CLIENT = OAuthClient(client_id="c:1", client_secret=Secret(value=b"s\xe9cret+/9"))
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
REFRESH = Secret(value=b"r3fresh-t0ken")
GOOD = {"access_token": "acc3ss", "token_type": "Bearer"}


def of_code(**changes: Any) -> Generator[Request, Response, GrantOutcome]:
    asked: dict[str, Any] = {"code": "c0de", "verifier": VERIFIER, "redirect_uri": "https://us/cb"}
    return code_grant(SERVER, CLIENT, **{**asked, **changes}, now=NOW)


def of_refresh() -> Generator[Request, Response, GrantOutcome]:
    return refresh_grant(SERVER, CLIENT, refresh_token=REFRESH, now=NOW)


def answered(
    plan: Generator[Request, Response, GrantOutcome], status: int, document: object, **headers: str
) -> GrantOutcome:
    next(plan)
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    response = Response(
        status=status,
        headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()),
        body=body,
    )
    with pytest.raises(StopIteration) as ended:
        plan.send(response)
    return ended.value.value  # type: ignore[no-any-return]


def form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), strict_parsing=True, encoding="latin-1"))


def test_the_challenge_is_the_one_of_rfc_7636_appendix_b() -> None:
    assert challenge(VERIFIER) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize("verifier", ["", "a" * 42, "a" * 129, "a" * 42 + " ", "a" * 43 + "\n"])
def test_a_weak_or_unsendable_verifier_is_refused_without_being_shown(verifier: str) -> None:
    with pytest.raises(ValueError, match="43 to 128") as caught:
        challenge(verifier)

    assert not verifier or verifier not in str(caught.value)


def test_the_authorisation_url_keeps_the_servers_query_and_our_parameters_win() -> None:
    url = authorization_url(
        SERVER,
        client_id="c:1",
        redirect_uri="https://us/cb?x=1&y=2",
        state="st&te",
        challenge=challenge(VERIFIER),
        scopes=("repo", "admin:org_hook"),
    )

    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "login.test", "/authorize")
    assert dict(parse_qsl(parts.query, strict_parsing=True)) == {
        "audience": "api",
        "prompt": "consent",
        "response_type": "code",
        "client_id": "c:1",
        "redirect_uri": "https://us/cb?x=1&y=2",
        "state": "st&te",
        "code_challenge": challenge(VERIFIER),
        "code_challenge_method": "S256",
        "scope": "repo admin:org_hook",
    }


def test_no_scopes_are_not_asked_for_as_an_empty_one() -> None:
    url = authorization_url(
        SERVER, client_id="c", redirect_uri="https://us", state="s", challenge="c", scopes=()
    )

    assert "scope" not in dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def test_a_code_is_changed_with_its_verifier_by_a_form_that_asks_for_json() -> None:
    request = next(of_code())

    assert (request.method, request.url, request.writes) == ("POST", SERVER.token_url, True)
    assert request.header("accept") == "application/json"
    assert request.header("content-type") == "application/x-www-form-urlencoded"
    assert request.header("authorization") is None
    assert form(request) == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "redirect_uri": "https://us/cb",
        "code_verifier": VERIFIER,
        "client_id": "c:1",
        "client_secret": "s\xe9cret+/9",
    }


def test_a_refresh_spends_its_token_and_a_client_grant_spends_nothing() -> None:
    refresh = next(of_refresh())
    client = next(client_grant(SERVER, CLIENT, scopes=("a", "b"), now=NOW))
    bare = next(client_grant(SERVER, CLIENT, scopes=(), now=NOW))

    assert (form(refresh)["grant_type"], form(refresh)["refresh_token"]) == (
        "refresh_token",
        "r3fresh-t0ken",
    )
    assert refresh.writes
    assert (form(client)["grant_type"], form(client)["scope"]) == ("client_credentials", "a b")
    assert not client.writes
    assert "scope" not in form(bare)


def test_basic_authentication_encodes_both_parts_first() -> None:
    """RFC 6749, 2.3.1: the colon of the id does not shift the border."""
    server = evolve(SERVER, client_authentication=ClientAuthentication.BASIC)

    request = next(refresh_grant(server, CLIENT, refresh_token=REFRESH, now=NOW))

    kind, _, value = (request.header("authorization") or "").partition(" ")
    assert kind == "Basic"
    assert base64.b64decode(value) == b"c%3A1:s%E9cret%2B%2F9"
    assert not {"client_id", "client_secret"} & set(form(request))


@pytest.mark.parametrize("authentication", ClientAuthentication)
def test_a_public_client_sends_its_id_only(authentication: ClientAuthentication) -> None:
    server = evolve(SERVER, client_authentication=authentication)

    request = next(client_grant(server, OAuthClient(client_id="pub"), scopes=(), now=NOW))

    assert form(request) == {"grant_type": "client_credentials", "client_id": "pub"}
    assert request.header("authorization") is None


def test_a_grant_says_what_was_granted_and_until_when() -> None:
    document = {**GOOD, "expires_in": 3600, "refresh_token": "n3w", "scope": "repo gist"}

    assert answered(of_code(), 200, document) == Grant(
        access_token=Secret(value=b"acc3ss"),
        expires_at=NOW + timedelta(hours=1),
        refresh_token=Secret(value=b"n3w"),
        scopes=("repo", "gist"),
    )


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (0, 0),
        (28800, 28800),
        ("3600", 3600),
        (1.5, 1.5),
        (None, None),
        (-1, None),
        (True, None),
        ("soon", None),
        ("²", None),
        ("9" * 40, None),
        (10**12, None),
        ([], None),
    ],
)
def test_an_unreadable_lifetime_costs_no_token(expires_in: Any, seconds: float | None) -> None:
    """A refresh token was spent for it; a 401 will tell its end."""
    grant = answered(of_refresh(), 200, {**GOOD, "expires_in": expires_in})

    assert isinstance(grant, Grant)
    assert grant.expires_at == (None if seconds is None else NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [("a b", ("a", "b")), ("a,b, c", ("a", "b", "c")), ("", ()), (None, ()), (["a"], ())],
)
def test_scopes_are_read_by_spaces_and_by_commas(scope: Any, scopes: tuple[str, ...]) -> None:
    grant = answered(of_code(), 200, {**GOOD, "scope": scope})

    assert isinstance(grant, Grant)
    assert grant.scopes == scopes


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("invalid_grant", NeedsLogin(reason="invalid_grant")),
        ("bad_refresh_token", NeedsLogin(reason="bad_refresh_token")),
        ("bad_verification_code", NeedsLogin(reason="bad_verification_code")),
        ("access_denied", NeedsLogin(reason="access_denied")),
        ("temporarily_unavailable", Later(reason="temporarily_unavailable")),
        ("slow_down", Later(reason="slow_down")),
        ("server_error", Later(reason="server_error", maybe_sent=True)),
        ("invalid_client", None),
        ("unauthorized_client", None),
        ("incorrect_client_credentials", None),
        ("redirect_uri_mismatch", None),
    ],
)
def test_a_refusal_is_sorted_by_who_must_act_whatever_its_status(
    status: int, code: str, expected: GrantOutcome | None
) -> None:
    """GitHub refuses with 200."""
    outcome = answered(of_refresh(), status, {"error": code, "error_description": "was r3fresh"})

    assert outcome == (expected or Refused(reason=code, status=status))


@pytest.mark.parametrize("error", [7, {}, "", "Two Words", "r3fresh-t0ken", "x" * 51, "a\nb"])
def test_an_error_that_is_no_code_is_not_repeated(error: Any) -> None:
    outcome = answered(of_refresh(), 400, {"error": error})

    assert outcome == Refused(reason="an unreadable error", status=400)


@pytest.mark.parametrize(
    ("status", "maybe"), [(429, False), (425, False), (408, True), (500, True), (503, True)]
)
def test_what_failed_for_now_may_have_spent_the_token(status: int, maybe: bool) -> None:
    """P4: a refresh token that was maybe spent is asked with once more."""
    outcome = answered(of_refresh(), status, b"<html>", retry_after="7")

    assert outcome == Later(
        reason=f"answered {status}", retry_after=timedelta(seconds=7), maybe_sent=maybe
    )


def test_a_client_grant_that_failed_spent_nothing() -> None:
    plan = client_grant(SERVER, CLIENT, scopes=(), now=NOW)

    assert answered(plan, 502, b"") == Later(reason="answered 502")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b'{"access_token": "acc3',
        b"access_token=acc3ss&token_type=bearer",
        [],
        {},
        {"access_token": ""},
        {"access_token": 7},
        {"access_token": "two words"},
        {"access_token": "line\r\nx-injected: 1"},
        {"access_token": "t" * 16_385},
    ],
)
def test_an_answer_without_a_readable_token_may_have_spent_ours(document: Any) -> None:
    assert answered(of_refresh(), 200, document) == Later(
        reason="the answer holds no token that can be read", maybe_sent=True
    )


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404])
def test_a_door_that_is_no_token_endpoint_is_refused(status: int) -> None:
    """401 without a code is about the client here, never about the person."""
    outcome = answered(of_code(), status, b"<html>")

    assert outcome == Refused(reason=f"answered {status}", status=status)


@pytest.mark.parametrize("kind", ["DPoP", "mac"])
def test_a_token_that_needs_proof_with_each_request_is_refused(kind: str) -> None:
    outcome = answered(of_code(), 200, {**GOOD, "token_type": kind})

    assert outcome == Refused(reason=f"tokens of type {kind.lower()} can not be sent from here")


@pytest.mark.parametrize("kind", ["bearer", "Bearer", "bot", None])
def test_other_names_for_bearer_are_taken(kind: str | None) -> None:
    assert isinstance(answered(of_code(), 200, {**GOOD, "token_type": kind}), Grant)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
SENT = ("r3fresh-t0ken", "s\xe9cret+/9", VERIFIER)
FIELDS = (
    "access_token",
    "refresh_token",
    "expires_in",
    "scope",
    "token_type",
    "error",
    "error_description",
)


@given(
    status=st.integers(200, 599),
    document=st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(SENT)) | JSON,
)
def test_no_answer_breaks_the_reading_or_brings_a_secret_into_the_outcome(
    status: int, document: object
) -> None:
    """P8; SEC-IA-01: whatever a server sends back."""
    response = Response(status=status, body=orjson.dumps(document))
    request = next(of_refresh())

    outcome = read_grant(response, request=request, now=NOW)

    assert isinstance(outcome, Grant | Later | NeedsLogin | Refused)
    assert not [secret for secret in SENT if secret in repr(evolve_scopes(outcome))]


def evolve_scopes(outcome: GrantOutcome) -> GrantOutcome:
    """Without the scopes, which are no secret, whatever stands there."""
    return evolve(outcome, scopes=()) if isinstance(outcome, Grant) else outcome


def test_nothing_that_is_asked_shows_a_secret() -> None:
    """P8."""
    shown = repr((next(of_code()), next(of_refresh()), CLIENT))

    assert not [secret for secret in ("c0de", *SENT) if secret in shown]
