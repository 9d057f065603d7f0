"""The words adapters and the rest of the program share. Frozen, deep: scalars, tuples, bytes.

An adapter is pure: it never does I/O and never reads a clock, a random source or the environment.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeAlias

from attrs import field, frozen

from adapters.manifest import Manifest

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Header names in lower case; values as latin-1 text, in the order they came."""


@frozen(kw_only=True)
class Secret:
    """Something that opens a door. Its repr never shows it; read ``value`` only where it is used."""

    value: bytes = field(repr=False)

    def __str__(self) -> str:
        """Hide the value in formatted text too."""
        return "***"


@frozen(kw_only=True)
class Request:
    """An HTTP request as data: one that came in, or one that a plan asks for.

    ``url`` of an incoming request is path and query; of an outgoing one it is relative to the
    connection's base URL (it starts with ``/``) or absolute on the same origin (a ``Link: next``). It is not in
    the repr: a webhook's holds its token, a login's its code.
    ``writes`` says that it may have an effect at the provider; a GraphQL query is a POST that does not.
    """

    method: str
    url: str = field(repr=False)
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    writes: bool = False

    def header(self, name: str) -> str | None:
        """The first value of header ``name`` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


@frozen(kw_only=True)
class Response:
    """An HTTP answer as data."""

    status: int
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The first value of header ``name`` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


@frozen(kw_only=True)
class Delivery:
    """A webhook call whose signature was verified. Only ``receive`` and the inbox's codec build one.

    ``event_kind`` is the provider's own name (``pull_request.opened``); ``event_id`` its id of the event,
    which identifies the delivery within its connection; ``replay_key`` is what was signed, digested, where
    the provider signs no time (else None); ``body`` is JSON.
    """

    event_kind: str
    event_id: str
    replay_key: str | None
    received_at: datetime
    body: bytes = field(repr=False)


@frozen(kw_only=True)
class Resource:
    """Where a signal happened: exactly PM-3's Resource (extra fields there are dropped silently)."""

    service_name: str | None = None
    repository: str | None = None
    branch: str | None = None
    commit: str | None = None
    module: str | None = None
    file_path: str | None = None
    environment: str | None = None
    deployment_id: str | None = None
    plane: str | None = None
    pr_id: int | None = None


class SignalKind(StrEnum):
    """PM-3's four kinds of signal."""

    EVENT = "event"
    METRIC = "metric"
    LOG = "log"
    TRACE = "trace"


@frozen(kw_only=True)
class Signal:
    """What a delivery means, before it is put in an envelope.

    ``signal_type`` is a key of ``adapters.signals.SIGNAL_TYPES``. ``payload`` and ``canonical_keys`` are JSON
    objects as bytes; the envelope adds ``provider_metadata`` to the payload. ``event_key`` identifies the event itself,
    for what can be found in more than one way (webhook and poll); None: the delivery's id is all there is. No two
    signals of a connection share one, except they are of the same event.
    """

    signal_type: str
    occurred_at: datetime
    actor_id: str | None = None
    resource: Resource | None = None
    payload: bytes = field(repr=False)
    canonical_keys: bytes = field(default=b"{}", repr=False)
    kind: SignalKind = SignalKind.EVENT
    event_key: str | None = None


@frozen(kw_only=True)
class Action:
    """A normalised action, checked at the door, as a plan sees it.

    ``target`` and ``payload`` are JSON objects as bytes. ``first_sent_at`` is when a write of this action may
    first have reached the provider (None: certainly never), so a plan knows whether to look before it creates,
    and how far back.
    """

    action_id: str
    canonical_type: str
    target: bytes
    payload: bytes = field(repr=False)
    first_sent_at: datetime | None = None


@frozen(kw_only=True)
class Reference:
    """What the provider calls the effect: its id there, and where a person can see it."""

    id: str
    url: str | None = None


@frozen(kw_only=True)
class Done:
    """The effect exists, once. ``details`` is a JSON object about it (what a probe granted, say)."""

    reference: Reference | None = None
    details: bytes = b"{}"


@frozen(kw_only=True)
class Refused:
    """The provider will never do this as asked; no effect exists."""

    reason: str
    status: int | None = None


@frozen(kw_only=True)
class Later:
    """Not now. ``retry_after`` is the provider's own wish. ``maybe_sent``: the effect may exist already."""

    reason: str
    retry_after: timedelta | None = None
    maybe_sent: bool = False


@frozen(kw_only=True)
class Unsure:
    """The effect may exist and no way is left to find out; nothing is sent again."""

    reason: str


@frozen(kw_only=True)
class NeedsLogin:
    """The credentials are refused; a person must renew them. No effect exists."""

    reason: str


Outcome: TypeAlias = Done | Refused | Later | Unsure | NeedsLogin
Plan: TypeAlias = Generator[Request, Response, Outcome]


class Webhooks(Protocol):
    """The capability to receive webhooks and say what they mean."""

    def receive(
        self, request: Request, *, secrets: tuple[Secret, ...], now: datetime
    ) -> Delivery | Response:
        """Verify the raw bytes against every current secret; only then read them.

        Returns the verified delivery, or a Response where the provider wants a handshake answered.

        Raises:
            SignatureError: not proven to be the provider's (also when there is no secret).
            PayloadError: verified, but malformed.
        """
        ...

    def normalise(self, delivery: Delivery) -> tuple[Signal, ...]:
        """Say what a verified delivery means; unknown kinds become ``other``, never an error.

        Raises:
            PayloadError: the document lacks what its kind must have.
        """
        ...


class Actions(Protocol):
    """The capability to do something at the provider."""

    def check(self, action: Action) -> None:
        """Refuse early what can not be planned.

        Raises:
            ActionError: with the field that is wrong.
        """
        ...

    def target_key(self, action: Action) -> str:
        """What actions must not overtake each other on: the same PR, the same channel."""
        ...

    def plan(self, action: Action) -> Plan:
        """The exchanges that carry the action out; looks before it creates, once it may have been sent."""
        ...


class Adapter(Webhooks, Actions, Protocol):
    """What the spine needs of every provider; further capabilities are Protocols of their own."""

    @property
    def manifest(self) -> Manifest:
        """What is true of the provider whatever the tenant."""
        ...

    def probe(self, settings: bytes = b"{}", *, granted: tuple[str, ...] = ()) -> Plan:
        """The verification call; it only reads.

        ``settings`` are the connection's; ``granted`` is what the token's grant said of itself (``Grant.scopes``),
        which some providers say nowhere else. ``Done.details`` holds ``permissions``: an object that says of each
        permission the connection needs whether it is ``granted``, ``missing`` or ``unknown``. What is missing does
        not fail the probe: the connection can do the rest.
        """
        ...

    def authorise(self, request: Request, *, token: Secret) -> Request:
        """Add the credentials, last; what it returns is sent and never stored."""
        ...
