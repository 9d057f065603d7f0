"""Acting as a GitHub App: its key signs for tokens of one installation, which last an hour.

docs.github.com, "Generating a JSON Web Token (JWT) for a GitHub App" and "Create an installation access token".
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from adapters.contract import Later, NeedsLogin, Refused, Request, Response, Secret
from adapters.credentials import AppKey, Grant, GrantOutcome, GrantPlan, bearer
from adapters.document import Document, find, instant, parse
from adapters.errors import CredentialsError, PayloadError
from adapters.github import meaning
from adapters.github.access import authorise
from adapters.github.requests import HEADERS

_CLOCKS_APART = timedelta(seconds=60)
_LONGEST = timedelta(minutes=10)
_LEAST_BITS = 2048
# An app's id, or its client id; an installation's id leads into a path.
_APP_ID = re.compile(r"[0-9A-Za-z._-]{1,100}")
_INSTALLATION_ID = re.compile(r"[0-9]{1,19}")


def check_key(key: AppKey) -> None:
    """Find out whether the key can sign for its installation; takes a sixth of a second.

    Raises:
        CredentialsError: with what is wrong, and nothing of the key.
    """
    _check_ids(key)
    _rsa_key(key, trusted=False)


def app_grant(key: AppKey, *, now: datetime) -> GrantPlan:
    """See ``Apps.app_grant``; asking again does no harm. ``Grant.scopes`` are the installation's permissions.

    Raises:
        CredentialsError: when it is started, as ``check_key``.
    """
    _check_ids(key)
    # A minute back, and less than the ten minutes that are allowed ahead: clocks differ.
    claims = {
        "iat": int((now - _CLOCKS_APART).timestamp()),
        "exp": int((now + _LONGEST - _CLOCKS_APART).timestamp()),
        "iss": key.app_id,
    }
    signed = jwt.encode(claims, _rsa_key(key, trusted=True), algorithm="RS256")
    request = Request(
        method="POST",
        url=f"/app/installations/{key.installation_id}/access_tokens",
        headers=HEADERS,
    )
    response = yield authorise(request, token=Secret(value=signed.encode()))
    return _granted(response, request)


def _check_ids(key: AppKey) -> None:
    if not _APP_ID.fullmatch(key.app_id):
        raise CredentialsError("the app id is not a GitHub App's")
    if not _INSTALLATION_ID.fullmatch(key.installation_id):
        raise CredentialsError("the installation id must be a number")


def _rsa_key(key: AppKey, *, trusted: bool) -> RSAPrivateKey:
    # The check of its primes takes 150 ms, which would stop all else each hour: the door has done it.
    try:
        found = load_pem_private_key(
            key.private_key.value, password=None, unsafe_skip_rsa_key_validation=trusted
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # No PEM, a locked one, one of an unknown kind. Not chained: nothing of it is shown.
        raise CredentialsError("the private key is no readable, unlocked PEM") from None
    if not isinstance(found, RSAPrivateKey) or found.key_size < _LEAST_BITS:
        raise CredentialsError(f"the private key must be RSA, of {_LEAST_BITS} bits or more")
    return found


def _granted(response: Response, request: Request) -> GrantOutcome:
    ending = meaning.ending(response, request=request)
    if isinstance(ending, Refused) and ending.status == 404:
        return NeedsLogin(reason="404: the app is not installed there any more")
    # 401 is about the app, its key or this machine's clock; only a person can tell.
    return ending or _grant(response)


def _grant(response: Response) -> GrantOutcome:
    unreadable = Later(reason="the answer holds no token that can be read")
    try:
        document = parse(response.body)
        token, expires_at = bearer(document.get("token")), instant(document, "expires_at")
    except PayloadError:
        # What is wrong is not told: the answer may hold a token.
        return unreadable
    if token is None:
        return unreadable
    return Grant(access_token=token, expires_at=expires_at, scopes=_permissions(document))


def _permissions(document: Document) -> tuple[str, ...]:
    held = find(document, "permissions")
    entries = held.items() if isinstance(held, dict) else ()
    return tuple(sorted(f"{name}:{level}" for name, level in entries if isinstance(level, str)))
