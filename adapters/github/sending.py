"""The other side of the webhook: a delivery as GitHub would send it, for tests, the demo and ``send``."""

from __future__ import annotations

from adapters.contract import Headers, Request, Secret
from adapters.github.webhooks import SIGNATURE_PREFIX
from adapters.signing import hmac_hex


def deliver(
    event: str, body: bytes, *, secret: Secret, guid: str, hook_id: int = 1, url: str = "/"
) -> Request:
    """Make the signed request of a JSON webhook; ``guid`` identifies the event."""
    headers: Headers = (
        ("user-agent", "GitHub-Hookshot/5a1e2d0"),
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("x-github-hook-id", str(hook_id)),
        ("x-github-event", event),
        ("x-github-delivery", guid),
        ("x-github-hook-installation-target-type", "repository"),
        ("x-hub-signature-256", SIGNATURE_PREFIX + hmac_hex(body, secret=secret)),
    )
    return Request(method="POST", url=url, headers=headers, body=body)
