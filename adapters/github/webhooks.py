"""Receiving GitHub's webhooks: the signature over the raw body first, then what the body says.

docs.github.com, "Validating webhook deliveries" and "Webhook events and payloads" (delivery headers). Only
``X-Hub-Signature-256`` counts; the SHA-1 header that GitHub still sends beside it is not looked at.
"""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import parse_qs

from adapters.contract import Delivery, Request, Secret
from adapters.document import Document, optional, parse
from adapters.errors import PayloadError
from adapters.signing import verify_hmac_hex

BODY_LIMIT_BYTES = 25 * 1024 * 1024
SIGNATURE_PREFIX = "sha256="

_EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ACTION = re.compile(r"[a-z][a-z0-9_]{0,63}")
_GUID = re.compile(r"[0-9A-Za-z-]{1,100}")


def receive(request: Request, *, secrets: tuple[Secret, ...], now: datetime) -> Delivery:
    """See ``Webhooks.receive``; GitHub has no handshake.

    The delivery's id is not signed, so the caller also refuses a signature that it has seen (``replay_key``).
    """
    replay_key = verify_hmac_hex(
        request.body,
        request.header("x-hub-signature-256"),
        secrets=secrets,
        prefix=SIGNATURE_PREFIX,
    )
    if request.method != "POST":
        raise PayloadError("webhooks are sent with POST")
    event = _named(request, "x-github-event", _EVENT)
    guid = _named(request, "x-github-delivery", _GUID)
    body = _body(request)
    return Delivery(
        event_kind=_kind(event, parse(body)),
        event_id=guid,
        replay_key=replay_key,
        received_at=now,
        body=body,
    )


def _named(request: Request, header: str, form: re.Pattern[str]) -> str:
    value = request.header(header)
    if value is None:
        raise PayloadError("is missing", path=header)
    if not form.fullmatch(value):
        raise PayloadError("is malformed", path=header)
    return value


def _kind(event: str, document: Document) -> str:
    action = optional(document, "action", str)
    if action is None:
        return event
    if not _ACTION.fullmatch(action):
        raise PayloadError("is malformed", path="action")
    return f"{event}.{action}"


def _body(request: Request) -> bytes:
    media_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    match media_type:
        case "application/json":
            return request.body
        case "application/x-www-form-urlencoded":
            return _form_payload(request.body)
        case _:
            raise PayloadError("must be JSON or a form", path="content-type")


def _form_payload(body: bytes) -> bytes:
    try:
        fields = parse_qs(body.decode("ascii"), errors="strict", max_num_fields=8)
    except ValueError:
        # Not chained: a decoding error holds the whole body.
        raise PayloadError("is not a readable form") from None
    payloads = fields.get("payload", [])
    if len(payloads) != 1:
        raise PayloadError("must be there once", path="payload")
    return payloads[0].encode()
