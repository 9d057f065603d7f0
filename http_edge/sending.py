"""Sign and post a payload as the provider would: the ``send`` command, and what the demo sends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TypeAlias

import httpx
from attrs import frozen

from adapters.contract import Request, Secret
from adapters.github.samples import sample
from adapters.github.sending import deliver

Sign: TypeAlias = Callable[..., Request]

SENDERS: Mapping[str, Sign] = MappingProxyType({"github": deliver})
"""How each provider signs; a provider without an entry can not be imitated by ``send``."""


@frozen(kw_only=True)
class Answered:
    """What the node said to a delivery."""

    status: int
    body: str


def made_payload(event: str, number: int, *, at: datetime) -> bytes:
    """A GitHub payload of our own making, of real shape; the same for the same ``number``."""
    return sample(event, number, at=at)


async def send(client: httpx.AsyncClient, url: str, request: Request) -> Answered:
    """Post a signed request to a webhook URL."""
    answer = await client.post(url, content=request.body, headers=list(request.headers))
    return Answered(status=answer.status_code, body=answer.text)


def signed(provider_id: str, event: str, body: bytes, *, secret: Secret, event_id: str) -> Request:
    """The request as the provider would send it.

    Raises:
        ValueError: it is not known how this provider signs.
    """
    if provider_id not in SENDERS:
        raise ValueError(f"can not sign as {provider_id!r}; known: {', '.join(sorted(SENDERS))}")
    return SENDERS[provider_id](event, body, secret=secret, guid=event_id)
