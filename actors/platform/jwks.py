"""IAM's public keys as a JSON Web Key Set (RFC 7517): given, or fetched and remembered for minutes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import jwt
import trio
from attrs import frozen

from actors.platform.errors import PlatformUnavailableError
from actors.platform.proof import VerifyingKey
from actors.platform.sibling import Ask, Sibling
from runtime.clock import Clock

_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}
_SMALLEST_RSA_BITS = 2048


def read_keys(document: object) -> Mapping[str, VerifyingKey]:
    """The signing keys of a JWKS by ``kid``: RSA for RS256 and P-256 for ES256; what else is in it is passed over.

    A symmetric key in a public set is passed over too: it would let everybody sign.

    Raises:
        ValueError: it is no key set, or holds no key we can use.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    found = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("kid"), str):
            key = _key(entry)
            if key is not None:
                found[entry["kid"]] = key
    if not found:
        raise ValueError("no RS256 or ES256 key with a kid in the key set")
    return found


def _key(entry: dict[str, Any]) -> VerifyingKey | None:
    algorithm = _ALGORITHMS.get((str(entry.get("kty")), entry.get("crv")))
    if algorithm is None or entry.get("use", "sig") != "sig":
        return None
    if entry.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if algorithm == "RS256" and key.key_size < _SMALLEST_RSA_BITS:
        return None
    return VerifyingKey(algorithm=algorithm, key=key)


class GivenKeys:
    """A key set from the settings."""

    def __init__(self, document: bytes) -> None:
        """Read ``document``.

        Raises:
            ValueError: see ``read_keys``.
        """
        self._keys = read_keys(json.loads(document))

    async def key(self, kid: str | None) -> VerifyingKey | None:
        """See ``KeySource.key``."""
        await trio.lowlevel.checkpoint()
        return self._keys.get(kid or "")


@frozen(kw_only=True)
class FetchPace:
    """How long fetched keys are believed, and how often an unknown ``kid`` may make us look again."""

    believed: timedelta = timedelta(minutes=10)
    look_again: timedelta = timedelta(seconds=30)
    within: timedelta = timedelta(seconds=5)


class FetchedKeys:
    """A key set from a URL. Old keys are not used past their time when it is down: no key, no entry."""

    def __init__(
        self, iam: Sibling, path: str, *, clock: Clock, pace: FetchPace | None = None
    ) -> None:
        """Fetch from ``path`` below ``iam``'s address, when first asked."""
        self._iam = iam
        self._path = path
        self._clock = clock
        self._pace = pace or FetchPace()
        self._keys: Mapping[str, VerifyingKey] = {}
        self._fetched_at: datetime | None = None
        self._turn = trio.Lock()

    async def key(self, kid: str | None) -> VerifyingKey | None:
        """See ``KeySource.key``."""
        await trio.lowlevel.checkpoint()
        name = kid or ""
        if self._is_due(name):
            try:
                with trio.fail_after(2 * self._pace.within.total_seconds()):
                    async with self._turn:
                        if self._is_due(name):
                            await self._fetch()
            except trio.TooSlowError as error:
                raise PlatformUnavailableError("the token keys took too long to come") from error
        return self._keys.get(name)

    def _is_due(self, name: str) -> bool:
        if self._fetched_at is None:
            return True
        age = self._clock.now() - self._fetched_at
        return age >= (self._pace.believed if name in self._keys else self._pace.look_again)

    async def _fetch(self) -> None:
        answer = await self._iam.ask(Ask(method="GET", path=self._path), within=self._pace.within)
        if answer.status != 200:
            raise answer.refusal()
        try:
            self._keys = read_keys(answer.document())
        except ValueError as error:
            raise answer.senseless() from error
        self._fetched_at = self._clock.now()
