"""The simulated GitHub's webhooks of repositories and organizations, as their API shows and refuses them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from adapters.contract import Response
from adapters.document import Document, optional, parse, read_object
from adapters.errors import PayloadError
from adapters.github.events import EVENT_KINDS
from adapters.github.requests import stamp
from adapters.github.routes import Call, page
from adapters.github.world import Item
from adapters.simulation import as_json

_PATH = re.compile(
    r"/(?P<owner>repos/[^/]+/[^/]+|repositories/\d{1,12}|orgs/[^/]+)/hooks(?:/(?P<id>\d{1,12}))?"
)
_ORGANIZATION = re.compile(r"/orgs/([^/]+)")
_MOST_OF_AN_EVENT = 20
_EVENTS = frozenset(kind.partition(".")[0] for kind in EVENT_KINDS) | {"*", "star", "watch"}


@define(kw_only=True)
class Hook:
    """A webhook. ``config`` holds its secret, which is never shown."""

    id: int
    owner: str
    config: dict[str, str]
    events: tuple[str, ...]
    active: bool
    updated_at: str


@define(kw_only=True)
class HookShelf:
    """All webhooks, in the order they were made; ``organizations`` are those that there are."""

    hooks: dict[int, Hook] = field(factory=dict)
    organizations: set[str] = field(factory=set)

    def of(self, owner: str) -> list[Hook]:
        """The webhooks of an owner: ``orgs/<login>`` or ``repositories/<id>``."""
        return [hook for hook in self.hooks.values() if hook.owner == owner]

    def answer(self, call: Call) -> Response | None:
        """What the API of webhooks and organizations answers; None where that is not there."""
        seen = _ORGANIZATION.fullmatch(call.request.url)
        if seen is not None and call.request.method == "GET":
            known = seen[1].lower() in self.organizations
            return as_json(200, {"login": seen[1]}) if known else None
        found = _PATH.fullmatch(call.request.url)
        owner = None if found is None else self.owner(call, found["owner"])
        if found is None or owner is None:
            return None
        try:
            return self._on_list(call, owner) if found["id"] is None else self._on_one(call, owner)
        except PayloadError as error:
            return _invalid(str(error))

    def owner(self, call: Call, path: str) -> str | None:
        """The owner that a path names, or None."""
        kind, _, name = path.partition("/")
        if kind == "orgs":
            return path.lower() if name.lower() in self.organizations else None
        world = call.world
        repository = world.named(name) if kind == "repos" else world.repositories.get(int(name))
        return None if repository is None else f"repositories/{repository.id}"

    def _on_list(self, call: Call, owner: str) -> Response | None:
        match call.request.method:
            case "GET":
                return page(call, [_shown(hook) for hook in self.of(owner)])
            case "POST":
                return self._create(call, owner)
            case _:
                return None

    def _on_one(self, call: Call, owner: str) -> Response | None:
        hook = self.hooks.get(int(call.request.url.rpartition("/")[2]))
        if hook is None or hook.owner != owner:
            return None
        match call.request.method:
            case "PATCH":
                return self._update(call, hook)
            case "DELETE":
                del self.hooks[hook.id]
                return Response(status=204)
            case _:
                return None

    def _create(self, call: Call, owner: str) -> Response:
        asked = parse(call.request.body)
        if asked.get("name", "web") != "web":
            return _invalid("name must be web")
        hook = Hook(
            id=0,
            owner=owner,
            config=_config(read_object(asked, "config")),
            events=_events(asked, ("push",)),
            active=asked.get("active", True) is True,
            updated_at=stamp(call.now),
        )
        problem = self._problem(hook)
        if problem is not None:
            return problem
        hook.id = call.world.new_id()
        self.hooks[hook.id] = hook
        return as_json(201, _shown(hook))

    def _update(self, call: Call, hook: Hook) -> Response:
        asked = parse(call.request.body)
        changed = Hook(
            id=hook.id,
            owner=hook.owner,
            config=_config(asked["config"]) if "config" in asked else hook.config,
            events=_events(asked, hook.events),
            active=asked.get("active", True) is True,
            updated_at=stamp(call.now),
        )
        problem = self._problem(changed)
        if problem is not None:
            return problem
        self.hooks[hook.id] = changed
        return as_json(200, _shown(changed))

    def _problem(self, hook: Hook) -> Response | None:
        others = [other for other in self.of(hook.owner) if other.id != hook.id]
        if any(_alike(other, hook) and _overlap(other, hook) for other in others):
            kind = "organization" if hook.owner.startswith("orgs/") else "repository"
            return _invalid(f"Hook already exists on this {kind}")
        for event in hook.events:
            if sum(event in other.events for other in others) >= _MOST_OF_AN_EVENT:
                message = f'The "{event}" event cannot have more than {_MOST_OF_AN_EVENT} hooks'
                return _invalid(message)
        return None


def _alike(one: Hook, other: Hook) -> bool:
    return all(one.config.get(name) == other.config.get(name) for name in ("url", "content_type"))


def _overlap(one: Hook, other: Hook) -> bool:
    return "*" in (*one.events, *other.events) or bool({*one.events} & {*other.events})


def _config(asked: Mapping[str, Any]) -> dict[str, str]:
    url = optional(asked, "url", str) or ""
    if not url.startswith(("http://", "https://")):
        raise PayloadError("url must be an HTTP URL")
    names = ("content_type", "insecure_ssl", "secret")
    given = {name: str(asked[name]) for name in names if asked.get(name)}
    return {"content_type": "form", "insecure_ssl": "0", "url": url, **given}


def _events(asked: Document, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    events = tuple(optional(asked, "events", list) or otherwise)
    unknown = [event for event in events if str(event) not in _EVENTS]
    if unknown:
        raise PayloadError(f"These events are not allowed for this hook: {unknown}")
    return events


def _shown(hook: Hook) -> Item:
    config = {**hook.config, "secret": "********"} if "secret" in hook.config else hook.config
    return {
        "type": "Organization" if hook.owner.startswith("orgs/") else "Repository",
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": list(hook.events),
        "config": config,
        "updated_at": hook.updated_at,
    }


def _invalid(message: str) -> Response:
    problem = {"resource": "Hook", "code": "custom", "message": message}
    return as_json(422, {"message": "Validation Failed", "errors": [problem]})
