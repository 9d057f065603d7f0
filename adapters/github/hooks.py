"""Registering GitHub's webhooks: on an organization or on repositories, each exactly one.

docs.github.com, "REST API endpoints for repository webhooks". GitHub refuses a second webhook of one configuration
where their events overlap.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any, TypeAlias

import orjson
from attrs import evolve, frozen

from adapters.answers import Ending
from adapters.capabilities import Wanted
from adapters.contract import Done, Later, Outcome, Plan, Refused, Request, Response
from adapters.document import find, parse, parse_list, read
from adapters.errors import PayloadError, SettingsError
from adapters.github import meaning
from adapters.github.hook_form import Hook, creation, hook_from, repair
from adapters.github.requests import reading, writing
from adapters.github.settings import Target, read_settings, targets
from adapters.paging import next_url

_MAX_PAGES = 20
_ROUNDS = 3
_SETTLING = timedelta(seconds=60)
_EXISTS = "already exists"


@frozen(kw_only=True)
class _Brought:
    """What became of a target's webhooks. ``hook`` None: there is none of ours, as it should be."""

    hook: dict[str, Any] | None = None
    removed: int = 0
    unreachable: tuple[str, ...] = ()


_Asked: TypeAlias = Generator[Request, Response, Response | Ending]
_Listed: TypeAlias = Generator[Request, Response, tuple[Hook, ...] | Ending]
_Work: TypeAlias = Generator[Request, Response, _Brought | Ending]


def subscribe(wanted: Wanted) -> Plan:
    """See ``Subscriptions.subscribe``; ``Done.details`` has ``unreachable`` too, as ``unsubscribe``."""
    try:
        here, former = _targets(wanted)
        # The bytes that GitHub signs with must be those that are verified with.
        wanted.secret.value.decode()
    except SettingsError as error:
        return Refused(reason=str(error))
    except UnicodeDecodeError:
        return Refused(reason="the secret is no text, and can not be given to GitHub")
    if not wanted.secret.value:
        return Refused(reason="without a secret the deliveries would not be signed")
    if not here:
        return Refused(reason="settings.repositories or settings.organization must say for what")
    works = [
        *((target, _bring(target, wanted)) for target in here),
        *((target, _clear(target, wanted)) for target in former),
    ]
    return _unsaid((yield from _all(works)), wanted)


def unsubscribe(wanted: Wanted) -> Plan:
    """See ``Subscriptions.unsubscribe``."""
    try:
        here, former = _targets(wanted)
    except SettingsError as error:
        return Refused(reason=str(error))
    works = [(target, _clear(target, wanted)) for target in (*here, *former)]
    return _unsaid((yield from _all(works)), wanted)


def _unsaid(outcome: Outcome, wanted: Wanted) -> Outcome:
    """The outcome without what was sent: a reason may be a server's, which may repeat it."""
    if isinstance(outcome, Done):
        return outcome
    reason = outcome.reason
    secret = wanted.secret.value.decode(errors="replace")
    for sent in filter(None, (wanted.url, *wanted.former_urls, secret)):
        reason = reason.replace(sent, "[unsaid]")
    return evolve(outcome, reason=reason)


def _targets(wanted: Wanted) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
    """What is to have a webhook, and what is not to have one any more."""
    here = targets(read_settings(wanted.settings))
    paths = {target.path.lower() for target in here}
    former = {
        target.path.lower(): target
        for settings in wanted.former_settings
        for target in targets(read_settings(settings))
    }
    return here, tuple(target for path, target in former.items() if path not in paths)


def _all(works: list[tuple[Target, _Work]]) -> Plan:
    brought, refused = [], []
    for target, work in works:
        done = yield from work
        match done:
            case _Brought():
                brought.append(done)
            case Refused():
                refused.append(_told(target, done))
            case _:
                # Of the credentials or of the time, not of this target.
                return done
    if refused:
        return Refused(reason="; ".join(refused))
    details = {
        "hooks": [one.hook for one in brought if one.hook is not None],
        "removed": sum(one.removed for one in brought),
        "unreachable": [name for one in brought for name in one.unreachable],
    }
    return Done(details=orjson.dumps(details))


def _told(target: Target, refused: Refused) -> str:
    reason = f"{target.name}: {refused.reason}"
    if refused.status in (403, 404):
        reason += f" (needs {target.permission}, or the scope {target.scope})"
    return reason


def _bring(target: Target, wanted: Wanted) -> _Work:
    """Exactly one webhook as wanted. Where it changes between looking and acting, look again."""
    removed = 0
    for _ in range(_ROUNDS):
        ours = yield from _ours(target, wanted)
        if not isinstance(ours, tuple):
            return ours
        # Others of ours go first: their events could forbid the repair of the one that stays.
        for extra in ours[1:]:
            gone = yield from _remove(target, extra)
            if gone is not None:
                return gone
            removed += 1
        if ours and ours[0].fits and not wanted.renewed:
            return _kept(target, ours[0].id, "kept", removed)
        written = yield from _write(target, ours[0] if ours else None, wanted)
        if isinstance(written, int):
            return _kept(target, written, "repaired" if ours else "created", removed)
        if written is not None:
            return written
    return Later(
        reason=f"{target.name}: GitHub says that the webhook exists, and does not show it",
        retry_after=_SETTLING,
    )


def _kept(target: Target, hook_id: int, was: str, removed: int) -> _Brought:
    return _Brought(hook={"target": target.name, "id": hook_id, "was": was}, removed=removed)


def _clear(target: Target, wanted: Wanted) -> _Work:
    """No webhook of ours."""
    ours = yield from _ours(target, wanted)
    if isinstance(ours, Refused) and ours.status == 404:
        # Gone with all its webhooks, or there and closed to these credentials?
        seen = yield from _asked(reading(target.path))
        gone = isinstance(seen, Refused) and seen.status == 404
        return _Brought(unreachable=(target.name,)) if gone else ours
    if not isinstance(ours, tuple):
        return ours
    for hook in ours:
        kept = yield from _remove(target, hook)
        if kept is not None:
            return kept
    return _Brought(removed=len(ours))


def _ours(target: Target, wanted: Wanted) -> _Listed:
    """This connection's webhooks on the target; the one to keep comes first."""
    urls = {wanted.url, *wanted.former_urls}
    found: list[Hook] = []
    url: str | None = f"{target.path}/hooks?per_page=100"
    for _ in range(_MAX_PAGES):
        if url is None:
            break
        request = reading(url)
        response = yield from _asked(request)
        if not isinstance(response, Response):
            return response
        try:
            listed = parse_list(response.body)
            found += [hook_from(one, wanted) for one in listed if find(one, "config.url") in urls]
        except PayloadError as error:
            return Later(reason=f"{target.name}: the list of webhooks is unreadable: {error}")
        url = next_url(response, request=request)
    if url is not None:
        return Refused(reason=f"more webhooks than {_MAX_PAGES} pages")
    return tuple(sorted(found, key=lambda hook: (hook.url != wanted.url, hook.id)))


def _write(
    target: Target, hook: Hook | None, wanted: Wanted
) -> Generator[Request, Response, int | Ending | None]:
    """Create the webhook, or make ``hook`` what is wanted; its id, or None where one must look again."""
    request = creation(target, wanted) if hook is None else repair(target, hook, wanted)
    response = yield from _asked(request)
    match response:
        case Response():
            return hook.id if hook is not None else _created(response, target)
        case Refused(status=422, reason=reason) if _EXISTS in reason:
            return None
        case Refused(status=404) if hook is not None:
            return None
        case _:
            return response


def _created(response: Response, target: Target) -> int | Ending:
    try:
        return read(parse(response.body), "id", int)
    except PayloadError as error:
        reason = f"{target.name}: {response.status}, and an unreadable answer: {error}"
        return Later(reason=reason, maybe_sent=True)


def _remove(target: Target, hook: Hook) -> Generator[Request, Response, Ending | None]:
    response = yield from _asked(writing("DELETE", f"{target.path}/hooks/{hook.id}"))
    match response:
        case Response() | Refused(status=404):
            return None
        case _:
            return response


def _asked(request: Request) -> _Asked:
    """The answer, or how the plan ends with it."""
    response = yield request
    return meaning.ending(response, request=request) or response
