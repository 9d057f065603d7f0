"""Credentials as they are sealed: read again as they were, refused where they can not be, shown nowhere."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from adapters.contract import Secret
from adapters.credentials import (
    AppKey,
    ClientCredentials,
    Credentials,
    Grant,
    OAuthTokens,
    StaticToken,
    check,
    read,
    sealed_form,
)
from adapters.errors import CredentialsError
from adapters.manifest import AuthMethod

SECRETS = st.builds(Secret, value=st.binary(max_size=40))
TIMES = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
KINDS = (
    st.builds(StaticToken, token=SECRETS)
    | st.builds(
        OAuthTokens,
        access_token=SECRETS,
        refresh_token=st.none() | SECRETS,
        expires_at=st.none() | TIMES,
        scopes=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    )
    | st.builds(ClientCredentials, client_id=st.text(max_size=9), client_secret=SECRETS)
    | st.builds(
        AppKey,
        app_id=st.text(max_size=9),
        installation_id=st.text(max_size=9),
        private_key=SECRETS,
    )
)


@given(credentials=KINDS)
def test_what_was_sealed_is_read_as_it_was(credentials: Credentials) -> None:
    assert read(sealed_form(credentials)) == credentials


@pytest.mark.parametrize("token", [b"ghp_1", b"tok\xe9n", b"", b"{}", b"[1]", b"7", b'{"a": 1}'])
def test_a_token_is_sealed_as_it_was_handed_over(token: bytes) -> None:
    sealed = sealed_form(StaticToken(token=Secret(value=token)))

    assert sealed.value == token
    assert read(sealed) == StaticToken(token=Secret(value=token))


@given(credentials=KINDS)
def test_a_token_that_looks_like_other_credentials_stays_a_token(
    credentials: Credentials,
) -> None:
    """A tenant can not choose how its token is read."""
    disguised = StaticToken(token=sealed_form(credentials))

    assert read(sealed_form(disguised)) == disguised


GOOD: dict[str, Any] = {
    "ia_credentials": "oauth2",
    "access_token": "s3cret",
    "refresh_token": None,
    "expires_at": None,
    "scopes": [],
}


@pytest.mark.parametrize(
    "changes",
    [
        {"ia_credentials": "made_up"},
        {"ia_credentials": None},
        {"ia_credentials": "app"},
        {"ia_credentials": "client_credentials", "client_id": 7},
        {"ia_credentials": "token", "token": 7},
        {"access_token": 7},
        {"access_token": "s3cret\u20ac"},
        {"refresh_token": []},
        {"expires_at": "soon"},
        {"expires_at": 7},
        {"scopes": "repo"},
        {"scopes": [7]},
        {"scopes": None},
    ],
)
def test_a_broken_document_of_ours_is_an_error_that_tells_nothing(changes: Any) -> None:
    """P8."""
    sealed = Secret(value=orjson.dumps({**GOOD, **changes}))

    with pytest.raises(CredentialsError, match="can not be read") as caught:
        read(sealed)

    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


EACH: tuple[tuple[Credentials, AuthMethod], ...] = (
    (StaticToken(token=Secret(value=b"t")), AuthMethod.TOKEN),
    (
        OAuthTokens(access_token=Secret(value=b"t"), refresh_token=None, expires_at=None),
        AuthMethod.OAUTH2,
    ),
    (
        ClientCredentials(client_id="c", client_secret=Secret(value=b"t")),
        AuthMethod.CLIENT_CREDENTIALS,
    ),
    (
        AppKey(app_id="1", installation_id="2", private_key=Secret(value=b"t")),
        AuthMethod.APP,
    ),
)


@pytest.mark.parametrize(("credentials", "method"), EACH)
def test_a_provider_takes_the_kinds_it_names(credentials: Credentials, method: AuthMethod) -> None:
    others = tuple(other for other in AuthMethod if other is not method)

    check(credentials, methods=(method,))
    with pytest.raises(CredentialsError, match=f"and not {method}"):
        check(credentials, methods=others)


@pytest.mark.parametrize(
    "token", [b"", b"two words", b" lead", b"end\n", b"a\r\nx-injected: 1", b"\x00", b"t" * 16_385]
)
def test_a_token_that_no_header_carries_is_refused_and_not_shown(token: bytes) -> None:
    with pytest.raises(CredentialsError, match="one word") as caught:
        check(StaticToken(token=Secret(value=token)), methods=(AuthMethod.TOKEN,))

    assert "words" not in str(caught.value)


@pytest.mark.parametrize("token", [b"ghp_1", b"tok\xe9n", b"t" * 16_384])
def test_a_token_that_a_header_carries_is_taken(token: bytes) -> None:
    check(StaticToken(token=Secret(value=token)), methods=tuple(AuthMethod))


def test_no_kind_shows_what_it_holds() -> None:
    """P8; SEC-IA-01."""
    secret = Secret(value=b"s3cret")
    kinds = (
        StaticToken(token=secret),
        OAuthTokens(access_token=secret, refresh_token=secret, expires_at=None),
        ClientCredentials(client_id="c", client_secret=secret),
        AppKey(app_id="1", installation_id="2", private_key=secret),
        Grant(access_token=secret, refresh_token=secret),
        sealed_form(StaticToken(token=secret)),
    )

    assert "s3cret" not in f"{kinds!r} {kinds}"
