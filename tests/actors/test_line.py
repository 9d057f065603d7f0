"""The way to a provider: budget, breaker, token, send, classify; and no ticket is ever lost (FR-8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from attrs import define, evolve

from actors.drive import Doubt, drive
from actors.errors import MaybeSentError, NotSentError
from actors.line import Line, Ticket, network_of
from actors.platform.budgets import Withheld
from actors.platform.errors import PlatformUnavailableError
from actors.pressure import ACTIONS, LIVE, Pressure, Waiting
from adapters.contract import Done, NeedsLogin, Plan, Request
from adapters.credentials import StaticToken
from adapters.faults import dropped_before, failing, rate_limited
from adapters.github import ADAPTER, MANIFEST
from adapters.manifest import Limit
from persistence.errors import StoreUnavailableError
from persistence.records import ExchangeState
from runtime import Backoff, Breaker, Phase
from tests.actors.hub import STATIC, Hub, a_hub
from tests.actors.life import REPOSITORY
from tests.actors.login import Login, a_login
from tests.actors.scene import EPOCH
from tests.fakes.journals import MemoryJournal
from tests.fakes.mortality import cut_short, points

READ = Request(method="GET", url="/user", headers=(("user-agent", "m10"),))
WRITE = Request(
    method="POST",
    url=f"/repos/{REPOSITORY}/issues/1/comments",
    headers=(("user-agent", "m10"),),
    body=b'{"body": "Checks passed."}',
    writes=True,
)
BREAKER = Breaker(
    failures=2,
    probes=1,
    pause=Backoff(base=timedelta(seconds=30), cap=timedelta(minutes=10)),
    patience=timedelta(days=1),
)


@define(eq=False)
class Wire:
    """A line, and the login it goes by."""

    login: Login
    line: Line

    @property
    def hub(self) -> Hub:
        return self.login.hub

    async def ask(self, request: Request = READ) -> int:
        """One request and its status."""
        ticket = await self.line.admit(request, ACTIONS)
        assert isinstance(ticket, Ticket), ticket
        return (await self.line.send(request, ticket)).status

    def metrics(self) -> str:
        return self.hub.scene.ports.metrics.exposition(()).decode()


def a_wire(login: Login, *limits: Limit) -> Wire:
    pressure = Pressure(limits, per_minute=None, breaker=BREAKER, now=EPOCH)
    ports = login.hub.scene.ports
    line = Line(login.connection, ADAPTER, login.grants, pressure, ports, lambda: 0.5)
    return Wire(login, line)


@pytest.fixture
async def wire(sqlite_url: str) -> AsyncIterator[Wire]:
    async with a_hub(sqlite_url, node=False) as hub:
        yield a_wire(await a_login(hub, hub.granted()), *MANIFEST.limits)


@pytest.fixture
async def static(sqlite_url: str) -> AsyncIterator[Wire]:
    async with a_hub(sqlite_url, node=False) as hub:
        yield a_wire(
            await a_login(hub, STATIC), Limit(name="core", amount=3, per=timedelta(hours=1))
        )


async def open_breaker(wire: Wire) -> None:
    wire.hub.github.plan(failing(500, times=2))
    while wire.line.pressure.phase is not Phase.OPEN:
        await wire.ask()


async def test_a_request_is_authorised_counted_and_timed(wire):
    assert await wire.ask() == 200

    told = wire.metrics()
    assert 'provider_requests_total{provider="github",status="2xx",tenant="acme"} 1.0' in told
    assert 'latency_seconds_count{operation="provider",provider="github"} 1.0' in told
    assert wire.line.tally.condition.succeeded == 1
    assert wire.line.tally.condition.last_succeeded_at == EPOCH


async def test_what_the_provider_says_is_left_is_learned_from_each_answer(wire):
    await wire.ask()

    condition = wire.line.pressure.condition(wire.line.tally.condition, EPOCH, running=0)
    assert condition.limits[0].remaining == 4_999


async def test_an_exhausted_budget_asks_nobody_and_is_counted(static):
    for _ in range(3):
        await static.ask()
    paid, read = len(static.hub.scene.budgets.asked), dict(static.hub.secrets.reads)

    waiting = await static.line.admit(READ, ACTIONS)

    assert isinstance(waiting, Waiting)
    assert "core" in waiting.reason
    assert (len(static.hub.scene.budgets.asked), dict(static.hub.secrets.reads)) == (paid, read)
    assert 'budget_exhausted_total{limit="core",provider="github",tenant="acme"} 1.0' in (
        static.metrics()
    )


async def test_an_open_breaker_asks_nobody(static):
    await open_breaker(static)
    asked = len(static.hub.github.seen)

    waiting = await static.line.admit(READ, ACTIONS)

    assert isinstance(waiting, Waiting)
    assert waiting.exhausted is None
    assert len(static.hub.github.seen) == asked
    assert 'circuit_opens_total{provider="github",tenant="acme"} 1.0' in static.metrics()
    assert static.line.tally.condition.last_error == "answered 500"


async def test_what_m35_withholds_is_waited_for_before_a_token_is_had(static):
    static.hub.scene.budgets.withheld.append(
        Withheld(retry_after=timedelta(minutes=1), reason="rate limit")
    )

    waiting = await static.line.admit(READ, LIVE)

    assert isinstance(waiting, Waiting)
    assert waiting.exhausted == "m35"
    assert not static.hub.secrets.reads
    assert 'budget_exhausted_total{limit="m35",provider="github",tenant="acme"} 1.0' in (
        static.metrics()
    )


async def test_who_needs_a_login_or_gets_no_token_now_gets_no_ticket(static):
    static.hub.secrets.down = PlatformUnavailableError("M33 gave no answer")
    with pytest.raises(NotSentError):
        await static.line.admit(READ, ACTIONS)
    bare = evolve(static.login.connection, auth_ref=None)
    static.login.connection = bare
    static.login.restart()
    without = static.line.adapted(bare, static.login.grants)

    assert isinstance(await without.admit(READ, ACTIONS), NeedsLogin)
    assert without.refusal == "the connection has no credentials"
    assert static.hub.github.seen == ()


async def test_cancelled_at_any_await_of_admission_or_sending_the_probe_is_not_lost(wire):
    """A half-open breaker lets one through: whose ticket leaked would block the connection until its patience ends."""
    for point in points():
        wire.line.pressure.breaker_state = evolve(
            wire.line.pressure.breaker_state,
            phase=Phase.OPEN,
            until=wire.hub.clock.now(),
            probing=0,
            era=point * 10,
        )
        wire.login.grants.forget()

        survived = await cut_short(point, wire.ask)

        if survived is not None:
            assert wire.line.pressure.phase is Phase.CLOSED
            break
        state = wire.line.pressure.breaker_state
        assert state.phase is not Phase.HALF_OPEN or state.probing == 0, point


async def test_a_ticket_that_is_given_back_lets_another_through(wire):
    await open_breaker(wire)
    wire.hub.clock.advance(minutes=11)
    ticket = await wire.line.admit(READ, ACTIONS)
    assert isinstance(ticket, Ticket)
    assert isinstance(await wire.line.admit(READ, ACTIONS), Waiting)

    wire.line.give_back(ticket)

    assert isinstance(await wire.line.admit(READ, ACTIONS), Ticket)


async def test_a_refused_token_is_renewed_once_and_the_request_repeated(wire):
    """The 401 says that it had no effect."""
    wire.hub.github.plan(failing(401))

    assert await wire.ask(WRITE) == 201

    assert len(wire.login.asked) == 1
    assert len(wire.hub.github.comments(REPOSITORY, 1, now=EPOCH)) == 1
    assert wire.line.refusal is None


async def test_a_second_401_is_the_answer(wire):
    wire.hub.github.plan(failing(401, times=2))

    assert await wire.ask() == 401

    assert len(wire.login.asked) == 1
    assert wire.line.refusal == "answered 401"
    assert wire.line.pressure.phase is Phase.CLOSED


async def test_a_401_that_is_repeated_is_one_exchange_of_the_journal(wire):
    wire.hub.github.plan(failing(401))
    journal = MemoryJournal(wire.hub.clock.now)

    def plan() -> Plan:
        yield WRITE
        return Done()

    outcome = await drive(
        plan(),
        line=wire.line,
        journal=journal,
        doubt=Doubt(look_up=True, horizon=timedelta(seconds=60)),
        now=wire.hub.clock.now,
    )

    assert outcome == Done()
    assert journal.states == (ExchangeState.INTENDED,)


async def test_a_token_that_can_not_be_renewed_is_no_fault_of_the_provider(wire):
    """M33 down in the middle of a request: nothing was sent twice, and the breaker stays closed."""
    for _ in range(3):
        wire.hub.github.plan(failing(401))
        ticket = await wire.line.admit(READ, ACTIONS)
        assert isinstance(ticket, Ticket)
        wire.hub.secrets.down = PlatformUnavailableError("M33 gave no answer")
        with pytest.raises(NotSentError):
            await wire.line.send(READ, ticket)
        wire.hub.secrets.down = None

    assert wire.line.pressure.phase is Phase.CLOSED
    assert wire.line.tally.condition.failed == 0


async def test_a_renewal_that_can_not_be_kept_sends_nothing_more(wire):
    wire.hub.github.plan(failing(401))
    wire.hub.scene.store.fail("renew_credentials")
    ticket = await wire.line.admit(READ, ACTIONS)
    assert isinstance(ticket, Ticket)

    with pytest.raises(StoreUnavailableError):
        await wire.line.send(READ, ticket)

    assert len([seen for seen in wire.hub.github.seen if seen.request.url == "/user"]) == 1


@pytest.mark.parametrize(
    ("status", "failed"),
    [(200, 0), (401, 0), (403, 0), (404, 0), (422, 0), (408, 1), (429, 1), (500, 1), (503, 1)],
)
async def test_only_what_says_that_the_provider_is_unwell_counts_against_it(
    static, status, failed
):
    static.hub.github.plan(*([] if status == 200 else [failing(status)]))

    await static.ask()

    assert static.line.tally.condition.failed == failed
    limited = 'rate_limited_total{provider="github",tenant="acme"} 1.0' in static.metrics()
    assert limited is (status == 429)


async def test_no_answer_counts_against_it_too(static):
    static.hub.github.plan(dropped_before(times=2))

    for _ in range(2):
        ticket = await static.line.admit(READ, ACTIONS)
        assert isinstance(ticket, Ticket)
        with pytest.raises(MaybeSentError):
            await static.line.send(READ, ticket)

    assert static.line.pressure.phase is Phase.OPEN
    assert 'provider_requests_total{provider="github",status="none",tenant="acme"} 2.0' in (
        static.metrics()
    )


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_silences_the_line_for_as_long(static, status):
    static.hub.github.plan(rate_limited(timedelta(seconds=754), status=status))

    await static.ask()

    waiting = await static.line.admit(READ, ACTIONS)
    assert isinstance(waiting, Waiting)
    assert waiting.until >= EPOCH + timedelta(seconds=754)


async def test_a_changed_connection_shares_what_is_known_and_paid(static):
    """Those that went out by the old line are counted by the new one, and pay from one purse."""
    await static.ask()
    newer = static.line.adapted(evolve(static.login.connection), static.login.grants)
    await Wire(static.login, newer).ask()
    static.hub.github.plan(failing(500))
    await static.ask()

    assert newer.tally.condition.succeeded == 2
    assert newer.tally.condition.failed == 1
    assert newer.pressure is static.line.pressure
    assert len(static.hub.scene.budgets.asked) == 1


async def test_credentials_on_trial_go_by_the_same_line(static):
    token = evolve(STATIC.token, value=b"ghp_unknown-and-nobody-may-read-it")
    trial = static.line.trying(StaticToken(token=token))

    assert await Wire(static.login, trial).ask() == 401
    assert await static.ask() == 200


async def test_a_connection_is_reached_by_its_own_way(static):
    own = evolve(
        static.login.connection, network=b'{"ca_bundle": "PEM", "proxy": "https://proxy.example"}'
    )

    way = network_of(own, static.hub.scene.ports)

    assert (way.ca_bundle, way.proxy) == ("PEM", "https://proxy.example")
    usual = network_of(static.login.connection, static.hub.scene.ports)
    assert usual == static.hub.scene.ports.transport.network


async def test_a_hold_is_the_provider_s_own_wish(static):
    static.line.hold(EPOCH + timedelta(hours=1))

    waiting = await static.line.admit(READ, ACTIONS)

    assert isinstance(waiting, Waiting)
    assert waiting.until == EPOCH + timedelta(hours=1)
