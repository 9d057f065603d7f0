"""Requests with an Idempotency-Key: carried out once, answered the same again for a day.

The key is the tenant's own. While the first request with it runs, the same again waits outside (409); once it was
done, the same again gets its answer, and another request under the key is refused. What failed is not kept: nothing
was done, and the same key may ask again. Answers are kept sealed, as some show what is shown only once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

import orjson
import trio

from actors.platform.errors import PlatformError
from actors.ports import Ports
from adapters.contract import Request, Response, Secret
from http_edge.errors import EdgeError, InvalidError
from persistence.changes import ClaimedRequest, RequestAnswer, RequestClaim, RequestState
from persistence.errors import ConflictError, StoreError

HEADER = "idempotency-key"
KEY = r"^[\x21-\x7e]{1,255}$"
KEPT = timedelta(hours=24)
_KEY = re.compile(KEY)
_HELD = timedelta(minutes=3)
"""Longer than any request takes: after this, one whose node died may be carried out by another."""
_COME_BACK = timedelta(seconds=2)
_PURPOSE = "answer"
_GIVE_BACK_WITHIN_S = 5.0


class Claim:
    """A request's hold on its key while it is carried out."""

    def __init__(self, claimed: ClaimedRequest, tenant_id: str, ports: Ports) -> None:
        self._claimed = claimed
        self._tenant_id = tenant_id
        self._ports = ports
        self.handed_over = False

    async def hand_over(self, response: Response) -> RequestAnswer:
        """The answer as it is kept, for the transaction that does what was asked; nothing is left to do here then."""
        answer = await self._sealed(response)
        self.handed_over = True
        return answer

    async def keep(self, response: Response) -> None:
        """Keep the answer, unless it is kept already. What was asked is done: that it can not be kept undoes nothing."""
        if self.handed_over:
            return
        try:
            await self._ports.store.finish_request(await self._sealed(response))
        except (StoreError, PlatformError) as error:
            self._ports.log.warning(
                "request.answer_not_kept", tenant=self._tenant_id, reason=str(error)
            )

    async def give_back(self) -> None:
        """Let the same key ask again."""
        try:
            await self._ports.store.drop_request(self._tenant_id, self._claimed.request_id)
        except StoreError as error:  # its time ends by itself
            self._ports.log.warning(
                "request.claim_not_given_back", tenant=self._tenant_id, reason=str(error)
            )

    async def _sealed(self, response: Response) -> RequestAnswer:
        now, request_id = self._ports.clock.now(), self._claimed.request_id
        document = {"headers": response.headers, "body": response.body.decode()}
        return RequestAnswer(
            request_id=request_id,
            tenant_id=self._tenant_id,
            status=response.status,
            sealed=await self._ports.secrets.seal(
                self._tenant_id,
                request_id,
                _PURPOSE,
                1,
                Secret(value=orjson.dumps(document)),
                now=now,
            ),
            expires_at=now + KEPT,
        )


def key_of(request: Request) -> str | None:
    """The request's Idempotency-Key.

    Raises:
        InvalidError: it is malformed.
    """
    key = request.header(HEADER)
    if key is not None and _KEY.fullmatch(key) is None:
        raise InvalidError("must be 1 to 255 visible ASCII characters", field="Idempotency-Key")
    return key


async def once(
    key: str,
    digest: bytes,
    ports: Ports,
    *,
    tenant_id: str,
    carry_out: Callable[[Claim], Awaitable[Response]],
) -> Response:
    """What ``carry_out`` answers, or answered when it was asked the same before under ``key``.

    Raises:
        EdgeError: 409, the first one still runs; 422, the key was used for another request.
    """
    claimed = await _claimed(tenant_id, key, digest, ports)
    if claimed.state is RequestState.RUNNING:
        raise EdgeError(
            409, "REQUEST_RUNNING", "the same request is being carried out", retry_after=_COME_BACK
        )
    if claimed.answer is not None:
        return await _again(claimed.answer, ports)
    claim, done = Claim(claimed, tenant_id, ports), False
    try:
        response = await carry_out(claim)
        done = response.status < 400
    finally:
        if not done:
            with trio.move_on_after(_GIVE_BACK_WITHIN_S, shield=True):
                await claim.give_back()
    await claim.keep(response)
    return response


def digest_of(request: Request) -> bytes:
    """What was asked: method, path with query, body."""
    parts = (request.method, request.url, hashlib.sha256(request.body).hexdigest())
    return hashlib.sha256(orjson.dumps(parts)).digest()


async def _claimed(tenant_id: str, key: str, digest: bytes, ports: Ports) -> ClaimedRequest:
    now = ports.clock.now()
    claim = RequestClaim(
        request_id=ports.ids(),
        tenant_id=tenant_id,
        key=key,
        digest=digest,
        created_at=now,
        until=now + _HELD,
    )
    try:
        return await ports.store.claim_request(claim)
    except ConflictError as error:
        raise EdgeError(
            422, "IDEMPOTENCY_KEY_REUSED", "the key was used for another request"
        ) from error


async def _again(answer: RequestAnswer, ports: Ports) -> Response:
    document = orjson.loads((await ports.secrets.open(answer.sealed)).value)
    headers = tuple((name, value) for name, value in document["headers"])
    return Response(
        status=answer.status,
        headers=(*headers, ("idempotent-replayed", "true")),
        body=document["body"].encode(),
    )
