"""PM-3 (signal ingestion): envelopes go out in batches, and it has a word on each.

It answers 200 even when it refuses every signal; a 422 means that one malformed envelope cost the whole batch.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote

import orjson
import trio
from attrs import frozen

from actors.platform.errors import (
    BatchMalformedError,
    PlatformRefusedError,
    PlatformUnavailableError,
)
from actors.platform.sibling import Answer, Ask, Sibling
from actors.platform.tokens import TokenSource, bearer
from adapters.contract import SignalKind

LARGEST_BATCH = 100
PRODUCER_NOT_REGISTERED = "PRODUCER_NOT_REGISTERED"
CONTRACT_NOT_FOUND = "CONTRACT_NOT_FOUND"
_DUPLICATE = "Duplicate signal"
_LONGEST_MESSAGE = 300
_PRODUCERS = "/v1/producers"


@frozen(kw_only=True)
class Accepted:
    """PM-3 has the signal. A number out of order is only a warning."""

    warnings: tuple[str, ...] = ()


@frozen(kw_only=True)
class Duplicate:
    """PM-3 had the signal already, under the same ``sequence_no``: as good as accepted."""


@frozen(kw_only=True)
class RejectedSignal:
    """PM-3 will not have the signal as it is; sending it again unchanged only litters its DLQ.

    ``dlq_id`` is set when it went there (from the fourth try of a signal on). ``message`` is PM-3's text, cut.
    """

    code: str
    message: str
    dlq_id: str | None = None


Verdict: TypeAlias = Accepted | Duplicate | RejectedSignal


@frozen(kw_only=True)
class Producer:
    """A connection, as PM-3 has to know it before it takes the connection's signals.

    ``producer_id`` is the connection's id. Each of ``signal_types`` must have a data contract of
    ``contract_version`` there, which nobody can create over HTTP.
    """

    producer_id: str
    name: str
    signal_types: tuple[str, ...]
    owner: str = "integration-adapters"
    signal_kinds: tuple[SignalKind, ...] = (SignalKind.EVENT,)
    plane: str = "shared_services"
    contract_version: str = "1.0.0"


class Signals(Protocol):
    """The port to whoever takes our signals."""

    async def ingest(self, tenant_id: str, envelopes: Sequence[bytes]) -> tuple[Verdict, ...]:
        """Hand over at most 100 envelopes of one tenant; a verdict on each comes back, in their order.

        Cancelled or failed, any of them may have been taken: send the same bytes again, duplicates are told apart.

        Raises:
            BatchMalformedError: nothing was taken; one envelope at least is malformed or another tenant's.
            PlatformUnavailableError: no answer, or one that does not cover the batch.
            PlatformMisconfiguredError: the tenant's token or the address is wrong.
            ValueError: more than 100 envelopes.
        """
        ...

    async def register(self, tenant_id: str, producer: Producer) -> None:
        """Make ``producer`` known as it is now, whatever it was before.

        Raises:
            PlatformRefusedError: with code CONTRACT_NOT_FOUND, a signal type has no contract there.
            PlatformUnavailableError: no answer; it may be registered.
            PlatformMisconfiguredError: the tenant's token or the address is wrong.
        """
        ...


@frozen(kw_only=True)
class Pm3Pace:
    """How long PM-3 may take. It looks through all signals of 24 h for each one that comes (about 1 ms per 1,000)."""

    call: timedelta = timedelta(seconds=10)
    signal: timedelta = timedelta(milliseconds=500)


class Pm3Signals:
    """PM-3 over HTTP."""

    def __init__(self, pm3: Sibling, tokens: TokenSource, *, pace: Pm3Pace | None = None) -> None:
        """Speak to ``pm3`` with each tenant's own token: there the token alone says who the tenant is."""
        self._pm3 = pm3
        self._tokens = tokens
        self._pace = pace or Pm3Pace()

    async def ingest(self, tenant_id: str, envelopes: Sequence[bytes]) -> tuple[Verdict, ...]:
        """See ``Signals.ingest``."""
        if len(envelopes) > LARGEST_BATCH:
            raise ValueError(f"{len(envelopes)} envelopes, at most {LARGEST_BATCH} go at once")
        if not envelopes:
            await trio.lowlevel.checkpoint()
            return ()
        signal_ids = [_signal_id(envelope, tenant_id) for envelope in envelopes]
        answer = await self._ask(
            tenant_id,
            "POST",
            "/v1/signals/ingest",
            body=b'{"signals":[' + b",".join(envelopes) + b"]}",
            within=self._pace.call + len(envelopes) * self._pace.signal,
        )
        if answer.status == 422:
            raise BatchMalformedError("PM-3 can not read an envelope of the batch")
        if answer.status != 200:
            raise answer.refusal()
        return _verdicts(answer, signal_ids)

    async def register(self, tenant_id: str, producer: Producer) -> None:
        """See ``Signals.register``."""
        wanted = _producer_document(producer)
        answer = await self._send_producer(tenant_id, "POST", f"{_PRODUCERS}/register", wanted)
        if answer.status == 201:
            return
        if "already registered" not in answer.complaint()[1].casefold():
            raise _no_producer(answer)
        path = f"{_PRODUCERS}/{quote(producer.producer_id, safe='')}"
        if await self._is_known(tenant_id, path, wanted):
            return
        answer = await self._send_producer(tenant_id, "PUT", path, wanted)
        if answer.status != 200:
            raise _no_producer(answer)

    async def _is_known(self, tenant_id: str, path: str, wanted: dict[str, Any]) -> bool:
        answer = await self._ask(tenant_id, "GET", path, within=self._pace.call)
        if answer.status == 404:
            raise PlatformUnavailableError(
                "PM-3 forgot the producer while it was being registered"
            )
        if answer.status != 200:
            raise answer.refusal()
        known = answer.document().get("producer")
        if not isinstance(known, dict):
            raise answer.senseless()
        return all(known.get(name) == value for name, value in wanted.items())

    async def _send_producer(
        self, tenant_id: str, method: str, path: str, producer: dict[str, Any]
    ) -> Answer:
        body = orjson.dumps({"producer": producer})
        return await self._ask(tenant_id, method, path, body=body, within=self._pace.call)

    async def _ask(
        self, tenant_id: str, method: str, path: str, *, within: timedelta, body: bytes = b""
    ) -> Answer:
        headers = bearer(self._tokens, tenant_id)
        ask = Ask(method=method, path=path, headers=headers, body=body)
        return await self._pm3.ask(ask, within=within)


def _signal_id(envelope: bytes, tenant_id: str) -> str:
    try:
        document = orjson.loads(envelope)
    except orjson.JSONDecodeError as error:
        raise BatchMalformedError("an envelope is no JSON") from error
    if not isinstance(document, dict) or document.get("tenant_id") != tenant_id:
        raise BatchMalformedError("an envelope is not this tenant's")
    signal_id = document.get("signal_id")
    if not isinstance(signal_id, str) or not signal_id:
        raise BatchMalformedError("an envelope has no signal_id")
    return signal_id


def _verdicts(answer: Answer, signal_ids: Sequence[str]) -> tuple[Verdict, ...]:
    """Match by id, not by place; an answer that does not cover the batch exactly covers nothing of it."""
    results = answer.document().get("results")
    if not isinstance(results, list):
        raise answer.senseless()
    waiting: defaultdict[str, deque[Verdict]] = defaultdict(deque)
    for result in results:
        if not isinstance(result, dict) or not isinstance(result.get("signal_id"), str):
            raise answer.senseless()
        waiting[result["signal_id"]].append(_verdict(answer, result))
    found = [waiting[key].popleft() for key in signal_ids if waiting[key]]
    if len(found) != len(signal_ids) or len(results) != len(signal_ids):
        raise answer.senseless()
    return tuple(found)


def _verdict(answer: Answer, result: Mapping[str, Any]) -> Verdict:
    status, code = result.get("status"), result.get("error_code")
    message = str(result.get("error_message") or "")[:_LONGEST_MESSAGE]
    if status == "accepted":
        return Accepted(warnings=tuple(str(warning) for warning in result.get("warnings") or ()))
    if status not in {"rejected", "dlq"}:
        raise answer.senseless()
    if code is None and message.startswith(_DUPLICATE):
        return Duplicate()
    dlq_id = result.get("dlq_id")
    return RejectedSignal(
        code=str(code or status).upper(),
        message=message,
        dlq_id=str(dlq_id) if dlq_id else None,
    )


def _producer_document(producer: Producer) -> dict[str, Any]:
    return {
        "producer_id": producer.producer_id,
        "name": producer.name,
        "plane": producer.plane,
        "owner": producer.owner,
        "allowed_signal_kinds": [kind.value for kind in producer.signal_kinds],
        "allowed_signal_types": list(producer.signal_types),
        "contract_versions": dict.fromkeys(producer.signal_types, producer.contract_version),
    }


def _no_producer(answer: Answer) -> Exception:
    if answer.status == 400 and "contract" in answer.complaint()[1].casefold():
        return PlatformRefusedError(answer.sibling, CONTRACT_NOT_FOUND)
    return answer.refusal()
