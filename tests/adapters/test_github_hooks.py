"""Registering GitHub's webhooks: exactly one for each target, whatever is lost, and nobody else's touched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from attrs import evolve
from hypothesis import given, settings as effort, strategies as st

from adapters.capabilities import Wanted
from adapters.contract import (
    Done,
    Later,
    NeedsLogin,
    Outcome,
    Plan,
    Refused,
    Request,
    Response,
    Secret,
)
from adapters.faults import Fault, failing, failing_after, late, rate_limited
from adapters.github import ADAPTER
from adapters.github.hook_form import EVENTS
from adapters.github.simulator import GitHub
from adapters.github.simulator_hooks import Hook
from adapters.github.world import Token
from tests.fakes.plans import LostError, carry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = Secret(value=b"ghp_s1mulated")
URL, FORMER, OLDEST = (f"https://ia.test/hooks/{name}" for name in ("new", "former", "oldest"))
TARGETS = {"repositories": ["acme/rocket", "acme/pad"], "organization": "initech"}
HORIZON = ADAPTER.manifest.effect_horizon + timedelta(seconds=1)


def wanted(**changes: Any) -> Wanted:
    asked: dict[str, Any] = {
        "url": URL,
        "former_urls": (FORMER, OLDEST),
        "secret": Secret(value=b"current-s3cret"),
        "settings": orjson.dumps(TARGETS),
    }
    return Wanted(**{**asked, **changes})


class Wire:
    """A simulated GitHub with an organization and two repositories, and a clock."""

    def __init__(self, *, scopes: tuple[str, ...] | None = ("repo", "admin:org_hook")) -> None:
        self.now = NOW
        self.github = GitHub(tokens=(Token(secret=TOKEN, scopes=scopes),))
        self.repositories = [
            self.github.world.add_repository(name) for name in TARGETS["repositories"]
        ]
        self.shelf = self.github.hook_shelf
        self.shelf.organizations.add("initech")

    @property
    def owners(self) -> tuple[str, ...]:
        return ("orgs/initech", *(f"repositories/{one.id}" for one in self.repositories))

    def add(self, owner: str, url: str, **changes: Any) -> Hook:
        config = {"url": url, "content_type": "json", "insecure_ssl": "0", "secret": "old"}
        fields: dict[str, Any] = {"config": config, "events": EVENTS, "active": True, **changes}
        hook = Hook(id=self.github.world.new_id(), owner=owner, updated_at="", **fields)
        self.shelf.hooks[hook.id] = hook
        return hook

    def send(self, request: Request) -> Response:
        reply = self.github.handle(ADAPTER.authorise(request, token=TOKEN), now=self.now)
        if reply.response is None:
            raise LostError
        if reply.response.status in (301, 307):
            target = reply.response.header("location") or ""
            return self.send(evolve(request, url=target))
        return reply.response

    def run(self, plan: Plan, send: Callable[[Request], Response] | None = None) -> Outcome:
        return carry(plan, send or self.send)

    def subscribe(self, **changes: Any) -> Outcome:
        return self.run(ADAPTER.subscribe(wanted(**changes)))

    def writes(self) -> list[str]:
        methods = (seen.request.method for seen in self.github.seen)
        return [method for method in methods if method != "GET"]

    def ours(self, owner: str) -> list[Hook]:
        return [
            hook for hook in self.shelf.of(owner) if hook.config["url"].startswith("https://ia.")
        ]


@pytest.fixture
def wire() -> Wire:
    return Wire()


def details(outcome: Outcome) -> Any:
    assert isinstance(outcome, Done), outcome
    return orjson.loads(outcome.details)


def as_it_should_be(hook: Hook) -> bool:
    config = {
        "url": URL,
        "content_type": "json",
        "insecure_ssl": "0",
        "secret": "current-s3cret",
    }
    return hook.config == config and hook.active and sorted(hook.events) == list(EVENTS)


def test_every_target_gets_one_webhook_and_a_second_run_writes_nothing(wire: Wire) -> None:
    first = details(wire.subscribe())
    written = wire.writes()
    second = details(wire.subscribe())

    assert [hook["target"] for hook in first["hooks"]] == ["initech", "acme/rocket", "acme/pad"]
    assert {hook["was"] for hook in first["hooks"]} == {"created"}
    assert {hook["was"] for hook in second["hooks"]} == {"kept"}
    assert [hook["id"] for hook in second["hooks"]] == [hook["id"] for hook in first["hooks"]]
    assert wire.writes() == written == ["POST"] * 3
    for owner in wire.owners:
        assert [as_it_should_be(hook) for hook in wire.shelf.of(owner)] == [True]


def test_the_list_is_read_before_anything_is_created(wire: Wire) -> None:
    wire.subscribe(settings=b'{"repositories": ["acme/rocket"]}')

    assert [seen.request.method for seen in wire.github.seen] == ["GET", "POST"]


def test_what_is_asked_for_is_what_is_understood(wire: Wire) -> None:
    assert "ping" not in EVENTS
    assert {kind.partition(".")[0] for kind in ADAPTER.manifest.event_kinds} - {"ping"} == {
        *EVENTS
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": ("push",)},
        {"events": ("*",)},
        {"active": False},
        {"config": {"url": URL, "content_type": "form", "insecure_ssl": "0", "secret": "old"}},
        {"config": {"url": URL, "content_type": "json", "insecure_ssl": "1", "secret": "old"}},
        {"config": {"url": URL, "content_type": "json", "insecure_ssl": "0"}},
        {"config": {"url": FORMER, "content_type": "json", "insecure_ssl": "0", "secret": "old"}},
    ],
    ids=["events", "all_events", "asleep", "form", "insecure", "unsigned", "former_url"],
)
def test_a_webhook_that_differs_is_repaired_in_its_place(wire: Wire, wrong: Any) -> None:
    hook = wire.add(wire.owners[1], URL, **wrong)

    said = details(wire.subscribe(settings=b'{"repositories": ["acme/rocket"]}'))

    assert said["hooks"] == [{"target": "acme/rocket", "id": hook.id, "was": "repaired"}]
    assert [as_it_should_be(one) for one in wire.shelf.of(hook.owner)] == [True]


def test_the_secret_is_sent_again_only_when_it_is_another(wire: Wire) -> None:
    hook = wire.add(wire.owners[1], URL)
    asked = {"settings": b'{"repositories": ["acme/rocket"]}'}

    kept = details(wire.subscribe(**asked))
    renewed = details(wire.subscribe(**asked, renewed=True))

    assert (kept["hooks"][0]["was"], renewed["hooks"][0]["was"]) == ("kept", "repaired")
    assert wire.shelf.hooks[hook.id].config["secret"] == "current-s3cret"


def test_of_several_of_ours_one_stays_the_one_that_leads_here(wire: Wire) -> None:
    owner = wire.owners[1]
    wire.add(owner, FORMER)
    stays = wire.add(owner, URL, events=("push",))
    wire.add(owner, URL, events=("issues",))
    wire.add(owner, OLDEST)
    foreign = wire.add(owner, "https://ci.test/ours-it-is-not")

    said = details(wire.subscribe(settings=b'{"repositories": ["acme/rocket"]}'))

    assert said["removed"] == 3
    assert [hook.id for hook in wire.ours(owner)] == [stays.id]
    assert as_it_should_be(wire.shelf.hooks[stays.id])
    assert wire.shelf.hooks[foreign.id] == foreign


def test_webhooks_on_later_pages_are_found(wire: Wire) -> None:
    """250 of others, with an event each so that GitHub allows them."""
    owner = wire.owners[1]
    for n in range(250):
        wire.add(owner, f"https://ci.test/{n}", events=("star",))
    ours = wire.add(owner, URL)

    said = details(wire.subscribe(settings=b'{"repositories": ["acme/rocket"]}'))

    assert said["hooks"] == [{"target": "acme/rocket", "id": ours.id, "was": "kept"}]
    assert [seen.request.method for seen in wire.github.seen] == ["GET"] * 3


def test_a_list_without_end_is_not_read_for_ever(wire: Wire) -> None:
    def endless(request: Request) -> Response:
        link = f'<{request.url}&more>; rel="next"'
        return Response(status=200, headers=(("link", link),), body=b"[]")

    outcome = wire.run(ADAPTER.subscribe(wanted()), endless)

    assert isinstance(outcome, Refused)
    assert "initech: more webhooks than 20 pages" in outcome.reason


def test_the_url_must_be_exactly_ours(wire: Wire) -> None:
    owner = wire.owners[1]
    others = [wire.add(owner, url) for url in (f"{URL}/", f"{URL}?x=1", URL.upper(), URL[:-1])]

    wire.subscribe(settings=b'{"repositories": ["acme/rocket"]}')

    assert [hook for hook in wire.shelf.of(owner) if hook in others] == others
    assert len(wire.shelf.of(owner)) == len(others) + 1


def test_one_refused_target_is_named_after_the_others_are_done(wire: Wire) -> None:
    asked = {"repositories": ["acme/rocket", "acme/none", "acme/pad"]}

    outcome = wire.subscribe(settings=orjson.dumps(asked))

    assert outcome == Refused(
        reason="acme/none: 404: Not Found (needs repository_hooks:write, or the scope admin:repo_hook)"
    )
    assert len(wire.ours(wire.owners[1])) == len(wire.ours(wire.owners[2])) == 1


def test_a_missing_permission_is_named_for_each_target() -> None:
    classic, fine = Wire(scopes=("gist",)), Wire(scopes=None)
    fine.github.world.tokens[:] = [Token(secret=TOKEN, permissions=("issues:write",))]

    refused = [wire.subscribe() for wire in (classic, fine)]

    for outcome in refused:
        assert isinstance(outcome, Refused)
        for name in ("initech:", "acme/rocket:", "acme/pad:"):
            assert name in outcome.reason
        assert "admin:org_hook" in outcome.reason
        assert "organization_hooks:write" in outcome.reason
    assert classic.shelf.hooks == fine.shelf.hooks == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"settings": b"{}"}, "settings.repositories or settings.organization"),
        ({"settings": b'{"repositories": [7]}'}, "settings.repositories[0]"),
        ({"settings": b"{"}, "settings: is not valid JSON"),
        ({"former_settings": (b"[]",)}, "settings: "),
        (
            {"settings": b'{"repositories": ["a/b", "A/B"]}'},
            "settings: a repository is named twice",
        ),
        (
            {"settings": b'{"organization": "Acme", "repositories": ["acme/b"]}'},
            "settings: a repository belongs to the organization",
        ),
        ({"secret": Secret(value=b"\xff\xfe")}, "no text"),
        ({"secret": Secret(value=b"")}, "would not be signed"),
    ],
)
def test_what_can_not_be_registered_is_refused_before_anything_is_asked(
    wire: Wire, changes: Any, reason: str
) -> None:
    outcome = wire.subscribe(**changes)

    assert isinstance(outcome, Refused)
    assert reason in outcome.reason
    assert wire.github.seen == ()


def test_settings_that_can_not_be_read_remove_nothing(wire: Wire) -> None:
    outcome = wire.run(ADAPTER.unsubscribe(wanted(settings=b"[]", secret=Secret(value=b""))))

    assert outcome == Refused(reason="settings: expected `object`, got `array`")


def test_to_unsubscribe_needs_no_secret(wire: Wire) -> None:
    wire.subscribe()
    wire.github.plan(failing(404, method="GET", path="initech", times=1), failing(403))

    outcome = wire.run(ADAPTER.unsubscribe(wanted(secret=Secret(value=b""))))

    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("initech: answered 404 (needs")
    assert wire.ours(wire.owners[1]) == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (failing(401), NeedsLogin(reason="answered 401")),
        (failing(500), Later(reason="answered 500")),
        (
            rate_limited(timedelta(seconds=5)),
            Later(reason="429: rate limited", retry_after=timedelta(seconds=5)),
        ),
        (
            failing(502, method="POST"),
            Later(reason="answered 502", maybe_sent=True),
        ),
    ],
)
def test_what_concerns_all_targets_ends_the_run_at_once(
    wire: Wire, fault: Fault, expected: Outcome
) -> None:
    wire.github.plan(fault)

    assert wire.subscribe() == expected
    assert len(wire.github.seen) == 1 + (fault.method == "POST")


def test_a_renamed_repository_is_followed(wire: Wire) -> None:
    wire.github.world.rename(wire.repositories[0], "acme/missile")
    ours = wire.add(wire.owners[1], URL, active=False)

    said = details(wire.subscribe(settings=b'{"repositories": ["acme/rocket"]}'))

    assert said["hooks"][0]["id"] == ours.id
    assert as_it_should_be(wire.shelf.hooks[ours.id])


def test_a_webhook_that_appeared_since_the_list_was_read_is_taken(wire: Wire) -> None:
    """GitHub answers 422 to the second of two; the list is read again."""
    asked = b'{"repositories": ["acme/rocket"]}'

    def send(request: Request) -> Response:
        if request.method == "POST" and not wire.shelf.hooks:
            wire.run(ADAPTER.subscribe(wanted(settings=asked)))
        return wire.send(request)

    said = details(wire.run(ADAPTER.subscribe(wanted(settings=asked)), send))

    assert said["hooks"][0]["was"] == "kept"
    assert [as_it_should_be(hook) for hook in wire.shelf.of(wire.owners[1])] == [True]


def test_a_webhook_that_went_since_the_list_was_read_is_made_anew(wire: Wire) -> None:
    ours = wire.add(wire.owners[1], URL, active=False)

    def send(request: Request) -> Response:
        if request.method == "PATCH":
            wire.shelf.hooks.pop(ours.id, None)
        return wire.send(request)

    plan = ADAPTER.subscribe(wanted(settings=b'{"repositories": ["acme/rocket"]}'))

    assert details(wire.run(plan, send))["hooks"][0]["was"] == "created"


def test_an_extra_that_went_by_itself_is_as_good_as_removed(wire: Wire) -> None:
    wire.add(wire.owners[1], URL)
    extra = wire.add(wire.owners[1], FORMER)

    def send(request: Request) -> Response:
        if request.method == "DELETE":
            wire.shelf.hooks.pop(extra.id, None)
        return wire.send(request)

    plan = ADAPTER.subscribe(wanted(settings=b'{"repositories": ["acme/rocket"]}'))

    assert details(wire.run(plan, send))["removed"] == 1


def test_a_webhook_that_exists_and_is_not_shown_is_said_to_be_so(wire: Wire) -> None:
    """An organization hides from a user what an OAuth app made."""
    wire.add(wire.owners[1], URL)

    def send(request: Request) -> Response:
        hidden = request.method == "GET"
        return Response(status=200, body=b"[]") if hidden else wire.send(request)

    plan = ADAPTER.subscribe(wanted(settings=b'{"repositories": ["acme/rocket"]}'))
    outcome = wire.run(plan, send)

    assert isinstance(outcome, Later)
    assert "does not show it" in outcome.reason
    assert wire.writes() == ["POST"] * 3
    assert len(wire.shelf.of(wire.owners[1])) == 1


@pytest.mark.parametrize(
    ("method", "body"),
    [("GET", b"<html>"), ("GET", b'[{"config": {"url": "%s"}}]' % URL.encode()), ("POST", b"{}")],
)
def test_an_unreadable_answer_is_looked_at_again_later(
    wire: Wire, method: str, body: bytes
) -> None:
    status = 200 if method == "GET" else 201
    wire.github.plan(Fault(response=Response(status=status, body=body), method=method))

    outcome = wire.subscribe()

    assert isinstance(outcome, Later)
    assert outcome.maybe_sent is (method == "POST")
    assert details(wire.subscribe())["hooks"]
    assert len(wire.shelf.of(wire.owners[0])) == 1


@pytest.mark.parametrize("listed", [b'[{"id": 1}]', b'[{"id": 1, "config": null}]'])
def test_webhooks_of_other_kinds_are_passed_over(wire: Wire, listed: bytes) -> None:
    wire.github.plan(Fault(response=Response(status=200, body=listed), method="GET"))

    assert details(wire.subscribe())["hooks"][0]["was"] == "created"


def test_targets_that_are_no_longer_wanted_lose_their_webhook(wire: Wire) -> None:
    wire.subscribe()

    said = details(
        wire.subscribe(
            settings=b'{"repositories": ["ACME/Pad"]}', former_settings=(orjson.dumps(TARGETS),)
        )
    )

    assert said["removed"] == 2
    assert [len(wire.ours(owner)) for owner in wire.owners] == [0, 0, 1]


def test_unsubscribe_removes_ours_everywhere_and_nothing_else(wire: Wire) -> None:
    wire.subscribe(settings=b'{"repositories": ["acme/pad"]}')
    for owner in wire.owners[:2]:
        wire.add(owner, FORMER)
        wire.add(owner, URL)
    foreign = wire.add(wire.owners[0], "https://ci.test/")
    plan = ADAPTER.unsubscribe(
        wanted(
            settings=b'{"repositories": ["acme/rocket"], "organization": "initech"}',
            former_settings=(orjson.dumps(TARGETS),),
        )
    )

    said = details(wire.run(plan))

    assert said == {"hooks": [], "removed": 5, "unreachable": []}
    assert list(wire.shelf.hooks.values()) == [foreign]
    assert details(wire.run(ADAPTER.unsubscribe(wanted())))["removed"] == 0


def test_a_target_that_is_gone_has_no_webhook_left_and_is_named(wire: Wire) -> None:
    wire.subscribe()
    del wire.github.world.repositories[wire.repositories[0].id]

    said = details(wire.run(ADAPTER.unsubscribe(wanted())))

    assert said == {"hooks": [], "removed": 2, "unreachable": ["acme/rocket"]}


def test_a_target_that_is_there_and_closed_may_keep_a_webhook_and_is_refused(wire: Wire) -> None:
    """No orphan is left in silence."""
    wire.subscribe()
    wire.github.world.tokens[:] = [Token(secret=TOKEN, scopes=("admin:org_hook",))]

    outcome = wire.run(ADAPTER.unsubscribe(wanted()))

    assert isinstance(outcome, Refused)
    assert "acme/rocket: 404" in outcome.reason
    assert "acme/pad: 404" in outcome.reason
    assert wire.shelf.of("orgs/initech") == []


def test_an_organization_that_is_closed_is_told_from_one_that_is_gone(wire: Wire) -> None:
    wire.github.world.tokens[:] = [Token(secret=TOKEN, scopes=("repo",))]
    asked = wanted(settings=b'{"organization": "initech"}')

    closed = wire.run(ADAPTER.unsubscribe(asked))
    wire.shelf.organizations.clear()
    gone = details(wire.run(ADAPTER.unsubscribe(asked)))

    assert isinstance(closed, Refused)
    assert "the scope admin:org_hook" in closed.reason
    assert gone["unreachable"] == ["initech"]


def test_a_webhook_that_can_not_be_removed_is_said(wire: Wire) -> None:
    wire.add(wire.owners[1], URL)
    wire.add(wire.owners[1], FORMER)
    wire.github.plan(failing(500, method="DELETE", times=2))
    asked = wanted(settings=b'{"repositories": ["acme/rocket"]}')

    outcomes = [wire.run(ADAPTER.unsubscribe(asked)), wire.run(ADAPTER.subscribe(asked))]

    assert outcomes == [Later(reason="answered 500", maybe_sent=True)] * 2


def test_no_outcome_and_no_request_shows_the_secret(wire: Wire) -> None:
    """P8; SEC-IA-01."""
    shown = []

    def send(request: Request) -> Response:
        shown.append(repr(request))
        return wire.send(request)

    outcome = wire.run(ADAPTER.subscribe(wanted()), send)

    assert "current-s3cret" not in repr((shown, outcome, wanted()))
    assert URL not in repr((shown, wanted()))


@pytest.mark.parametrize("status", [422, 500])
def test_a_server_that_repeats_what_it_was_sent_is_not_quoted(wire: Wire, status: int) -> None:
    """P8; SEC-IA-01."""
    said = {"message": f"no {URL} and no current-s3cret, {FORMER}"}
    body = orjson.dumps(said)
    wire.github.plan(
        Fault(response=Response(status=status, body=body), method="POST", times=3),
    )

    outcome = wire.subscribe()

    assert isinstance(outcome, Refused | Later)
    assert "no [unsaid] and no [unsaid], [unsaid]" in outcome.reason


# What can become of the request at which a run is struck.
LOSSES = ("not_sent", "answer_lost", "502_after", "500_before", "late")

STRIKES = st.tuples(st.integers(0, 12), st.sampled_from(LOSSES))
PRESENT = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([URL, FORMER, OLDEST, "https://ci.test/a", f"{URL}2"]),
        st.sampled_from([EVENTS, ("push",), ("issues", "release"), ("*",)]),
        st.booleans(),
    ),
    max_size=8,
)


def struck(wire: Wire, step: int, loss: str) -> Callable[[Request], Response]:
    """Sends as the wire does, but for the ``step``-th request."""
    asked = iter(range(1000))

    def send(request: Request) -> Response:
        if next(asked) != step:
            return wire.send(request)
        match loss:
            case "not_sent":
                raise LostError
            case "answer_lost":
                wire.send(request)
                raise LostError
            case "502_after":
                wire.github.plan(failing_after(502, method=request.method))
            case "500_before":
                wire.github.plan(failing(500, method=request.method))
            case _:
                wire.github.plan(late(timedelta(seconds=59), method=request.method))
        return wire.send(request)

    return send


def until_done(wire: Wire, make: Callable[[], Plan], strikes: list[tuple[int, str]]) -> Any:
    """Runs as the caller does, each struck once, and at last one that is not."""
    for step, loss in strikes:
        with suppress(LostError):
            wire.run(make(), struck(wire, step, loss))
        wire.now += HORIZON
    return details(wire.run(make()))


def foreign(wire: Wire) -> list[Hook]:
    ours = (URL, FORMER, OLDEST)
    return [deepcopy(one) for one in wire.shelf.hooks.values() if one.config["url"] not in ours]


@pytest.mark.thorough
@effort(max_examples=300, deadline=None)
@given(
    present=PRESENT, strikes=st.lists(STRIKES, max_size=4), leaving=st.lists(STRIKES, max_size=3)
)
def test_exactly_one_webhook_whatever_was_there_and_whatever_was_lost(
    present: list[tuple[int, str, tuple[str, ...], bool]],
    strikes: list[tuple[int, str]],
    leaving: list[tuple[int, str]],
) -> None:
    """P4: never two of the same, never an orphan, others' untouched; and none is left at the end."""
    wire = Wire()
    for index, url, events, active in present:
        wire.add(wire.owners[index], url, events=events, active=active)
    others = foreign(wire)

    until_done(wire, lambda: ADAPTER.subscribe(wanted(renewed=True)), strikes)

    for owner in wire.owners:
        assert [as_it_should_be(hook) for hook in wire.ours(owner) if hook not in others] == [True]
    assert foreign(wire) == others
    assert {one["was"] for one in details(wire.subscribe())["hooks"]} == {"kept"}

    until_done(wire, lambda: ADAPTER.unsubscribe(wanted()), leaving)

    assert list(wire.shelf.hooks.values()) == others


@pytest.mark.parametrize("pause", range(7))
@pytest.mark.parametrize("url", [None, FORMER])
def test_two_runs_at_once_leave_one_webhook_after_the_next(
    wire: Wire, pause: int, url: str | None
) -> None:
    """P4: one run stands still before its ``pause``-th request while another runs whole."""
    for owner in wire.owners:
        if url is not None:
            wire.add(owner, url)
    asked = iter(range(100))

    def send(request: Request) -> Response:
        if next(asked) == pause:
            wire.subscribe(renewed=True)
        return wire.send(request)

    wire.run(ADAPTER.subscribe(wanted(renewed=True)), send)
    wire.subscribe(renewed=True)

    for owner in wire.owners:
        assert [as_it_should_be(hook) for hook in wire.shelf.of(owner)] == [True]
