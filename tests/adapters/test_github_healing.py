"""What failed to reach us is sent once more by GitHub, and what reached us is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import orjson
import pytest
from hypothesis import given, settings as effort, strategies as st

from adapters.contract import Delivery, Later, NeedsLogin, Refused, Request, Response, Secret
from adapters.faults import failing, rate_limited, revoked
from adapters.github import ADAPTER, healing
from adapters.github.hook_form import EVENTS
from adapters.github.simulator_deliveries import Sent
from adapters.github.simulator_hooks import Hook
from adapters.polling import Healed, HealOutcome, Heals
from tests.adapters.hub import NOW, REPOSITORY, Hub
from tests.fakes.plans import carry

SECRET = b"webhook-s3cret"


class Ward:
    """A GitHub with webhooks of ours on a repository and on an organization; ``up`` is whether we are there."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.github = self.hub.github
        self.github.hook_shelf.organizations.add("initech")
        self.log = self.github.delivery_log
        self.hooks = [
            self._hook(f"repositories/{self.hub.repository.id}"),
            self._hook("orgs/initech"),
        ]
        self.up = True
        self.received: list[str] = []
        self.cursor: bytes | None = None
        self.reports: list[Healed] = []

    @property
    def known(self) -> bytes:
        """What ``subscribe`` told."""
        targets = zip((REPOSITORY, "initech"), self.hooks, strict=True)
        told = [{"target": target, "id": hook.id, "was": "kept"} for target, hook in targets]
        return orjson.dumps({"hooks": told, "removed": 0})

    def happens(self, times: int = 1, *, seconds: float = 10) -> None:
        """Issues are opened, and told to whoever is there."""
        for _ in range(times):
            self.hub.clock.pass_(seconds)
            self.hub.opens()
            self.deliver()

    def deliver(self, *, status: int | None = None) -> None:
        """Everything that is to be sent is sent."""
        for sent, request in self.log.pending():
            self.log.answered(sent.id, self._take(request, status), now=self.hub.now)

    def heal(self, **changes: object) -> HealOutcome:
        asked = {"since": NOW, "cursor": self.cursor, **changes}
        outcome = carry(ADAPTER.heal(self.known, **asked), self.hub.send)  # type: ignore[arg-type]
        if isinstance(outcome, Healed):
            self.cursor = outcome.cursor
            self.reports.append(outcome)
        return outcome

    def heal_all(self) -> Healed:
        """The whole of one look at every webhook."""
        first = len(self.reports)
        for _ in range(200):
            outcome = self.heal()
            assert isinstance(outcome, Healed), outcome
            if not outcome.more:
                return total(self.reports[first:])
        raise AssertionError("it does not end")

    def missing(self) -> set[str]:
        return {*self.hub.told_by_webhook()} - {*self.received}

    def _hook(self, owner: str) -> Hook:
        made = self.github.world.new_id()
        config = {"url": "https://ia.test/hook", "content_type": "json", "secret": SECRET.decode()}
        hook = Hook(id=made, owner=owner, config=config, events=EVENTS, active=True, updated_at="")
        self.github.hook_shelf.hooks[made] = hook
        return hook

    def _take(self, request: Request, status: int | None) -> int:
        if status is not None or not self.up:
            return status or 0
        delivery = ADAPTER.receive(request, secrets=(Secret(value=SECRET),), now=self.hub.now)
        assert isinstance(delivery, Delivery)
        (signal,) = ADAPTER.normalise(delivery)
        self.received.append(signal.event_key or "")
        return 202


def total(reports: list[Healed]) -> Healed:
    return Healed(
        failed=sum(report.failed for report in reports),
        asked_again=sum(report.asked_again for report in reports),
        cursor=reports[-1].cursor,
        unreachable=tuple(name for report in reports for name in report.unreachable),
    )


@pytest.fixture
def ward() -> Ward:
    return Ward()


def test_github_can_heal() -> None:
    assert isinstance(ADAPTER, Heals)


def test_what_failed_in_an_outage_is_sent_again_and_nothing_else(ward: Ward) -> None:
    """Issue 6: after an outage of ours, GitHub's record is read and what failed is asked for."""
    ward.happens(3)
    ward.up = False
    ward.happens(40)
    ward.up = True
    ward.happens(2)

    report = ward.heal_all()
    ward.deliver()

    assert (report.failed, report.asked_again, report.unreachable) == (40, 40, ())
    assert ward.missing() == set()
    assert len(ward.received) == 45


def test_a_second_look_asks_for_nothing_more(ward: Ward) -> None:
    ward.up = False
    ward.happens(3)
    ward.up = True
    ward.heal_all()
    ward.deliver()
    ward.hub.clock.pass_(300)

    again = ward.heal_all()

    assert (again.failed, again.asked_again) == (0, 0)
    assert len(ward.received) == 3


@pytest.mark.parametrize("status", [0, 302, 404, 503])
def test_whatever_is_no_success_has_failed(ward: Ward, status: int) -> None:
    ward.hub.opens()
    ward.deliver(status=status)

    assert ward.heal_all().asked_again == 1


def test_what_fails_again_is_asked_for_a_few_times_and_then_left(ward: Ward) -> None:
    ward.up = False
    ward.happens()

    asked = []
    for _ in range(10):
        asked.append(ward.heal_all().asked_again)
        ward.deliver()
        ward.hub.clock.pass_(600)

    assert asked == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]


def test_what_arrives_at_last_is_counted_no_more(ward: Ward) -> None:
    ward.up = False
    ward.happens()
    for _ in range(3):
        ward.heal_all()
        ward.deliver()
        ward.hub.clock.pass_(600)
    ward.up = True
    ward.heal_all()
    ward.deliver()
    ward.hub.clock.pass_(600)

    report = ward.heal_all()

    assert (report.failed, ward.missing()) == (0, set())
    assert orjson.loads(report.cursor)["failing"] == {}


def test_what_github_has_forgotten_is_forgotten(ward: Ward) -> None:
    ward.up = False
    ward.happens()
    for _ in range(2):
        ward.heal_all()
        ward.deliver()
        ward.hub.clock.pass_(600)
    ward.heal_all()
    ward.hub.clock.pass_(5 * 86_400)
    ward.up = True
    ward.happens()

    assert orjson.loads(ward.heal_all().cursor)["failing"] == {}


def test_more_failures_than_are_remembered_are_left_alone(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healing, "_MOST_REMEMBERED", 2)
    ward.up = False
    ward.happens(4)
    ward.heal_all()
    ward.deliver()
    ward.hub.clock.pass_(600)

    report = ward.heal_all()

    assert (report.failed, report.asked_again) == (4, 2)


def test_what_was_before_is_not_looked_at(ward: Ward) -> None:
    ward.up = False
    ward.happens(40)
    since = ward.hub.clock() - timedelta(seconds=15)

    report = ward.heal(since=since)

    assert isinstance(report, Healed)
    assert report.failed == 2
    assert len([seen for seen in ward.github.seen if seen.request.method == "GET"]) == 1


def test_a_webhook_that_somebody_removed_is_told_and_the_others_are_healed(ward: Ward) -> None:
    del ward.github.hook_shelf.hooks[ward.hooks[0].id]
    ward.hub.repository.full_name = "initech/rocket"
    ward.up = False
    ward.happens(2)
    ward.hub.repository.full_name = REPOSITORY

    report = ward.heal_all()

    assert report.unreachable == (f"{REPOSITORY}: 404: Not Found",)
    assert report.asked_again == 2


def test_what_can_not_be_sent_again_is_passed_over(ward: Ward) -> None:
    ward.up = False
    ward.happens(3)
    ward.github.plan(failing(422, method="POST"))

    report = ward.heal_all()

    assert (report.failed, report.asked_again) == (3, 2)


def test_a_limit_in_the_middle_keeps_what_was_done(ward: Ward) -> None:
    ward.up = False
    ward.happens(3)
    first = carry(ADAPTER.heal(ward.known, since=NOW, cursor=None), limited(ward, after=2))
    assert isinstance(first, Healed)
    ward.cursor = first.cursor

    rest = ward.heal_all()
    ward.up = True
    ward.deliver()

    assert (first.failed, first.asked_again, first.more) == (2, 2, True)
    assert (rest.failed, rest.asked_again) == (1, 1)
    assert len(ward.received) == 3


def limited(ward: Ward, *, after: int) -> Callable[[Request], Response]:
    """Sends, until so many writes were done."""
    left = [after]

    def send(request: Request) -> Response:
        if request.method == "POST":
            if left[0] == 0:
                return Response(status=429, headers=(("retry-after", "5"),))
            left[0] -= 1
        return ward.hub.send(request)

    return send


def test_endings_leave_the_cursor_where_it_was(ward: Ward) -> None:
    ward.up = False
    ward.happens()
    ward.github.plan(rate_limited(timedelta(seconds=9)))
    later = ward.heal()
    first_write = carry(ADAPTER.heal(ward.known, since=NOW, cursor=None), limited(ward, after=0))
    ward.github.plan(revoked())

    assert later == Later(reason="429: rate limited", retry_after=timedelta(seconds=9))
    assert isinstance(first_write, Later)
    assert isinstance(ward.heal(), NeedsLogin)
    assert ward.cursor is None


@pytest.mark.parametrize(
    "body", [b"<html>", b'[{"id": 1}]', b'[{"id": "x", "delivered_at": "2026-03-01T12:00:00Z"}]']
)
def test_an_unreadable_record_is_asked_for_again(ward: Ward, body: bytes) -> None:
    plan = ADAPTER.heal(ward.known, since=NOW, cursor=None)

    assert isinstance(carry(plan, lambda _: Response(status=200, body=body)), Later)


def test_without_webhooks_there_is_nothing_to_heal() -> None:
    outcome = carry(ADAPTER.heal(b"{}", since=NOW, cursor=None), Hub().send)

    assert isinstance(outcome, Healed)
    assert (outcome.failed, outcome.more) == (0, False)


@pytest.mark.parametrize("hooks", [b"", b'{"hooks": [{"id": "x"}]}', b'{"hooks": 1}'])
def test_unreadable_webhooks_are_refused(hooks: bytes) -> None:
    assert isinstance(carry(ADAPTER.heal(hooks, since=NOW, cursor=None), Hub().send), Refused)


@pytest.mark.parametrize("cursor", [b"", b"{", b'{"v": 2}', b'{"turn": 99}'])
def test_an_unreadable_cursor_begins_again(ward: Ward, cursor: bytes) -> None:
    ward.up = False
    ward.happens()
    ward.cursor = cursor

    assert ward.heal_all().asked_again == 1


def test_a_plan_asks_for_what_only_comes_to_us(ward: Ward) -> None:
    """Twice is as once: so nothing has to be looked up after an answer that was lost."""
    ward.up = False
    ward.happens()
    ward.heal_all()

    asked = [request for request in ward.hub.asked if request.method == "POST"]
    assert [request.writes for request in asked] == [False]
    assert asked[0].url.endswith("/attempts")


@effort(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(("up", "down", "happens", "heal", "dies")), st.integers(1, 60)),
        max_size=40,
    ),
    size=st.integers(min_value=1, max_value=4),
)
def test_whatever_happens_all_arrives_in_the_end(steps: list[tuple[str, int]], size: int) -> None:
    """P1, where the provider keeps what we missed; though each page may be lost with its process."""
    ward = Ward()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(healing, "_PER_PAGE", size)
        patch.setattr(healing, "_MOST_TIMES", 100)
        for step, seconds in [*steps, ("up", 200)]:
            ward.hub.clock.pass_(seconds)
            match step:
                case "up" | "down":
                    ward.up = step == "up"
                case "happens":
                    ward.happens()
                case _:
                    kept = ward.cursor
                    ward.heal()
                    ward.cursor = kept if step == "dies" else ward.cursor
                    ward.deliver()
        for _ in range(3):
            ward.heal_all()
            ward.deliver()
            ward.hub.clock.pass_(200)

    assert ward.missing() == set()


def test_a_delivery_never_shows_its_body() -> None:
    sent = Sent(id=1, hook_id=1, guid="g", event_kind="push", body=b"s3cret", at=NOW)

    assert "s3cret" not in repr(sent)
