"""IAM (M21): who asks. We prove the token, IAM says that it is not revoked; both must agree.

IAM's ``verify`` believes any signature, so it is never asked alone. It allows 200 questions in 10 s per client id,
so its verdicts are remembered for seconds and asked for once however many wait for the same one.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Protocol

import orjson
import trio
from attrs import frozen

from actors.platform.errors import InvalidTokenError, PlatformUnavailableError
from actors.platform.memory import Memory, Turns
from actors.platform.proof import Caller, KeySource, TokenRules, header_kid, prove
from actors.platform.sibling import Ask, Sibling
from runtime.clock import Clock

__all__ = ["Caller", "IamIdentity", "IamPace", "Identity"]


class Identity(Protocol):
    """The port to whoever knows the callers."""

    async def verify(self, token: str) -> Caller:
        """Who shows ``token`` (without ``Bearer``).

        Raises:
            InvalidTokenError: it proves nobody, or is revoked (401).
            PlatformUnavailableError: that can not be found out now; never let the caller in (503).
            PlatformMisconfiguredError: IAM's address or what it wants of us is wrong.
        """
        ...


@frozen(kw_only=True)
class IamPace:
    """How long IAM's verdicts are believed, how many are, and how long one may take.

    ``wait`` is for everything: another task's turn and the answer.
    """

    believed: timedelta = timedelta(seconds=10)
    refused: timedelta = timedelta(seconds=2)
    at_most: int = 10_000
    within: timedelta = timedelta(seconds=3)
    wait: timedelta = timedelta(seconds=6)


class IamIdentity:
    """Tokens proven here and confirmed by IAM over HTTP."""

    def __init__(
        self,
        iam: Sibling,
        keys: KeySource,
        rules: TokenRules,
        *,
        clock: Clock,
        pace: IamPace | None = None,
        client_id: str = "integration-adapters",
    ) -> None:
        """Prove with ``keys`` by ``rules``; ask ``iam`` as ``client_id``, which its rate limit counts by."""
        self._iam = iam
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._pace = pace or IamPace()
        self._client_id = client_id
        self._verdicts: Memory[bytes, bool] = Memory(limit=self._pace.at_most)
        self._proven: Memory[bytes, Caller] = Memory(limit=self._pace.at_most)
        self._turns: Turns[bytes] = Turns()

    async def verify(self, token: str) -> Caller:
        """See ``Identity.verify``; who was confirmed is believed for as long as IAM's verdict on it."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._proven.get(digest, now=self._clock.now())
        if known is not None:
            await trio.lowlevel.checkpoint()
            return known
        key = await self._keys.key(header_kid(token))
        caller = prove(token, key=key, rules=self._rules, now=self._clock.now())
        if not await self._confirmed(token, caller, digest):
            raise InvalidTokenError("IAM does not know it, or no longer")
        return caller

    async def _confirmed(self, token: str, caller: Caller, digest: bytes) -> bool:
        try:
            with trio.fail_after(self._pace.wait.total_seconds()):
                async with self._turns.of(digest):
                    known = self._verdicts.get(digest, now=self._clock.now())
                    return await self._ask(token, caller, digest) if known is None else known
        except trio.TooSlowError as error:
            raise PlatformUnavailableError("IAM's verdict took too long to come") from error

    async def _ask(self, token: str, caller: Caller, digest: bytes) -> bool:
        ask = Ask(
            method="POST",
            path="/iam/v1/verify",
            headers={"x-client-id": self._client_id},
            body=orjson.dumps({"token": token}),
        )
        answer = await self._iam.ask(ask, within=self._pace.within)
        if answer.status not in {200, 401}:
            raise answer.refusal()
        agrees = answer.status == 200 and answer.document().get("sub") == caller.subject
        kept = self._pace.believed if agrees else self._pace.refused
        until = self._clock.now() + kept
        self._verdicts.keep(digest, agrees, until=until)
        if agrees:
            self._proven.keep(digest, caller, until=min(until, caller.valid_until))
        return agrees
