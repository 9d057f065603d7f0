"""What a webhook of ours looks like at GitHub: what is asked for, and whether what is there fits it.

GitHub shows no secret, and removes it in an update that does not send it again: so each one sends it.
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from adapters.capabilities import Wanted
from adapters.contract import Request
from adapters.document import Document, find, read
from adapters.github.events import READINGS
from adapters.github.requests import writing
from adapters.github.settings import Target

EVENTS = tuple(sorted(set(READINGS) - {"ping"}))
"""What is subscribed to: what is understood. A ping comes unasked."""


@frozen(kw_only=True)
class Hook:
    """A webhook of this connection, as GitHub lists it. ``fits``: it needs no repair."""

    id: int
    url: str = field(repr=False)
    fits: bool


def hook_from(listed: Document, wanted: Wanted) -> Hook:
    """A listed webhook of this connection.

    Raises:
        PayloadError: it has no id.
    """
    config, events = read(listed, "config", dict), find(listed, "events")
    fits = (
        config["url"] == wanted.url
        and config.get("content_type") == "json"
        and str(config.get("insecure_ssl")) == "0"
        # Shown as stars; without it, deliveries are not signed.
        and bool(config.get("secret"))
        and listed.get("active") is True
        and isinstance(events, list)
        and sorted(map(str, events)) == list(EVENTS)
    )
    return Hook(id=read(listed, "id", int), url=str(config["url"]), fits=fits)


def creation(target: Target, wanted: Wanted) -> Request:
    """Make the webhook."""
    return writing("POST", f"{target.path}/hooks", {"name": "web", **_form(wanted)})


def repair(target: Target, hook: Hook, wanted: Wanted) -> Request:
    """Make ``hook`` the webhook that is wanted."""
    return writing("PATCH", f"{target.path}/hooks/{hook.id}", _form(wanted))


def _form(wanted: Wanted) -> dict[str, Any]:
    return {
        "active": True,
        "events": EVENTS,
        "config": {
            "url": wanted.url,
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": wanted.secret.value.decode(),
        },
    }
