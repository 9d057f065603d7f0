"""What callers do with connections: made, changed, suspended, resumed, disabled, deleted; receipts and audit (FR-2)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from actors import incidents
from actors.errors import NotAllowedError, WrongStateError
from actors.life import make, to
from actors.lifecycle import Move
from actors.orders import By, Edits
from actors.platform.errors import PlatformUnavailableError
from actors.platform.policy import TenantPolicy
from persistence.errors import ConflictError, MissingError, StaleError
from persistence.records import ActionState, ConnectionRecord, ConnectionState
from tests.actors.hub import ME, Hub, a_hub
from tests.actors.life import REPOSITORY

PENDING = ConnectionState.PENDING_VERIFICATION
ACTIVE = ConnectionState.ACTIVE
SUSPENDED = ConnectionState.SUSPENDED


def place(connection: ConnectionRecord) -> tuple[str, UUID]:
    return connection.tenant_id, connection.connection_id


async def endpoint_open(hub: Hub, connection: ConnectionRecord) -> bool:
    return (await hub.registration(connection)).open


async def test_a_new_connection_waits_for_verification_and_its_url_is_shown_once(store_url):
    """UT-IA-01: what it is made of, with its receipt and its audit line."""
    async with a_hub(store_url) as hub:
        created = await hub.create()

        connection = created.connection
        found = await hub.read(connection)
        assert (found.state, found.version, found.auth_ref) == (PENDING, 1, connection.auth_ref)
        assert connection.auth_ref is not None
        assert created.webhook_secret_ref is not None
        assert created.webhook_url.startswith(
            "https://hooks.example.com/v1/integrations/webhooks/github/"
        )
        token = created.webhook_url.rpartition("/")[2]
        assert token not in f"{created!r} {connection!r}"
        (line,) = hub.scene.log.of("connection.created")
        assert (line["audit"], line["by"], line["tenant"]) == (True, "ada", "acme")
        await hub.scene.watch.until(hub.receipts)
        assert hub.receipts() == [("create", "pending_verification")]
        (receipt,) = hub.scene.receipts.documents
        assert receipt["inputs"]["request"]["requested_by"] == "ada"
        assert token not in str(receipt)


async def test_a_provider_that_the_tenant_may_not_use_is_refused_before_anything_is_sealed(
    sqlite_url,
):
    async with a_hub(sqlite_url) as hub:
        hub.scene.policy.default = TenantPolicy(providers=("slack",))

        with pytest.raises(NotAllowedError, match="github"):
            await hub.create()

        assert hub.scene.store.calls["create_connection"] == 0


async def test_a_name_that_is_taken_or_a_key_service_that_is_away_leaves_nothing(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        await hub.create()
        with pytest.raises(ConflictError):
            await hub.create()
        hub.secrets.seals_down = PlatformUnavailableError("M33 gave no answer")
        with pytest.raises(PlatformUnavailableError):
            await hub.create(name="other")

        assert len(await hub.scene.store.inner.connections("acme", after=None, limit=9)) == 1


async def test_a_change_of_what_describes_it_keeps_its_state(store_url):
    async with a_hub(store_url) as hub:
        connection = await hub.active()

        changed = await hub.connections.change(
            *place(connection), Edits(display_name="shuttle", tags=b'{"team":"blue"}'), ME
        )

        assert (changed.display_name, changed.state) == ("shuttle", ACTIVE)
        assert changed.version == connection.version + 1
        assert hub.audited() == ["verify", "change"]


@pytest.mark.parametrize(
    "edits",
    [
        Edits(base_url="https://ghe.example.com/api/v3"),
        Edits(settings=b'{"repositories": ["acme/shuttle"]}'),
        Edits(network=b'{"proxy": "https://proxy.example.com"}'),
    ],
)
async def test_another_address_has_to_be_verified_anew(sqlite_url, edits):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()

        changed = await hub.connections.change(*place(connection), edits, ME)

        assert (changed.state, changed.reason) == (PENDING, "changed; to be verified anew")
        assert hub.audited()[-1] == "redo"


async def test_the_same_address_in_other_words_is_no_change_of_it(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        same = Edits(
            base_url=connection.base_url,
            settings=f' {{ "repositories" : ["{REPOSITORY}"] }}'.encode(),
            network=b" { } ",
        )

        assert (await hub.connections.change(*place(connection), same, ME)).state is ACTIVE


async def test_a_name_that_is_taken_is_a_conflict(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        await hub.create()
        other = (await hub.create(name="other")).connection

        with pytest.raises(ConflictError):
            await hub.connections.change(*place(other), Edits(display_name="rocket"), ME)


async def test_who_has_seen_another_version_changes_nothing(store_url):
    """Optimistic concurrency: of two that have seen the same, one is right."""
    async with a_hub(store_url) as hub:
        connection = await hub.active()
        seen = By(subject="ada", version=connection.version)
        await hub.connections.suspend(*place(connection), seen)

        for late in (
            hub.connections.resume(*place(connection), seen),
            hub.connections.delete(*place(connection), seen),
            hub.connections.change(*place(connection), Edits(display_name="late"), seen),
        ):
            with pytest.raises(StaleError):
                await late
        assert (await hub.read(connection)).version == connection.version + 1


async def test_who_has_no_version_in_mind_is_not_stopped_by_another_change(store_url):
    async with a_hub(store_url) as hub:
        connection = await hub.active()

        async def renamed() -> None:
            found = await hub.read(connection)
            change = evolve(to(found, Move.CHANGE), display_name="renamed meanwhile")
            await make(hub.scene.ports, found, Move.CHANGE, change, by="eve")

        hub.scene.store.on("change_connection", renamed)
        suspended = await hub.connections.suspend(*place(connection), ME)

        assert (suspended.state, suspended.display_name) == (SUSPENDED, "renamed meanwhile")


async def test_one_that_changes_all_the_time_is_given_up(sqlite_url):
    """P7: tried again a bounded number of times."""
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()

        async def stale() -> None:
            await hub.scene.store.inner.connection(*place(connection))
            raise StaleError("it changed")

        hub.scene.store.on("change_connection", stale, times=99)
        tried = hub.scene.store.calls["change_connection"]
        with pytest.raises(StaleError):
            await hub.connections.suspend(*place(connection), ME)

        assert hub.scene.store.calls["change_connection"] == tried + 5


async def test_of_a_suspended_connection_nothing_is_sent_and_everything_is_kept(store_url):
    """FR-2: and released when it is resumed; nothing is silently dropped."""
    async with a_hub(store_url) as hub:
        scene, connection = hub.scene, await hub.active()
        await hub.connections.suspend(*place(connection), ME, reason="holidays")
        asked = len(hub.github.seen)
        action = comment(hub, connection)

        await scene.deliver(connection, *hub.deliveries(connection, 2))
        await scene.counted(connection, pending=2)
        with pytest.raises(Exception, match="suspended"):
            await scene.store.enqueue(action)
        assert await endpoint_open(hub, connection)
        assert (await hub.read(connection)).reason == "holidays"
        assert len(hub.github.seen) == asked

        resumed = await hub.connections.resume(*place(connection), ME)

        assert (resumed.state, resumed.reason) == (ACTIVE, None)
        await scene.counted(connection, forwarded=2)
        assert hub.audited() == ["verify", "suspend", "resume"]
        await scene.watch.until(lambda: ("resume", "active") in hub.receipts())


async def test_an_action_that_runs_while_it_is_suspended_ends_and_the_next_one_waits(store_url):
    async with a_hub(store_url) as hub:
        scene, connection = hub.scene, await hub.active()
        running, waiting = comment(hub, connection), comment(hub, connection)

        async def suspended() -> None:
            await hub.connections.suspend(*place(connection), ME)

        scene.store.on("intend", suspended, after=True)
        await scene.order(connection, running, waiting)

        assert (await scene.ended(running)).state is ActionState.DONE
        left = await scene.store.inner.action("acme", waiting.action_id)
        assert left is not None
        assert left.state is ActionState.QUEUED
        await hub.connections.resume(*place(connection), ME)
        assert (await scene.ended(waiting)).state is ActionState.DONE
        assert len(hub.github.comments(REPOSITORY, 1, now=hub.clock.now())) == 2


async def test_an_action_that_was_about_to_be_sent_is_not_once_it_is_suspended(store_url):
    async with a_hub(store_url) as hub:
        scene, connection = hub.scene, await hub.active()
        action = comment(hub, connection)

        async def suspended() -> None:
            await hub.connections.suspend(*place(connection), ME)

        scene.store.on("intend", suspended)
        await scene.order(connection, action)
        await scene.watch.until(lambda: scene.log.of("connection.read_again"))

        assert hub.github.comments(REPOSITORY, 1, now=hub.clock.now()) == ()
        left = await scene.store.inner.action("acme", action.action_id)
        assert left is not None
        assert (left.state, left.attempts) == (ActionState.QUEUED, 0)
        await hub.connections.resume(*place(connection), ME)
        assert (await scene.ended(action)).state is ActionState.DONE


async def test_an_action_expires_while_its_connection_is_suspended(sqlite_url):
    """Its time ends in any state, and it is told."""
    async with a_hub(sqlite_url) as hub:
        scene, connection = hub.scene, await hub.active()
        action = evolve(
            comment(hub, connection), expires_at=hub.clock.now() + timedelta(seconds=60)
        )

        async def suspended() -> None:
            await hub.connections.suspend(*place(connection), ME)

        scene.store.on("intend", suspended)
        await scene.order(connection, action)
        await scene.watch.until(lambda: scene.log.of("connection.read_again"))
        hub.clock.advance(seconds=60)
        scene.wake.connection(*place(connection))

        record = await scene.ended(action)
        assert (record.state, record.reason) == (
            ActionState.REFUSED,
            "it expired before the provider took it",
        )


async def test_after_a_restart_too_an_action_of_a_suspended_connection_ends_with_its_time(
    store_url,
):
    """Nobody wakes such a connection for what it may not do; upkeep does for what is over."""
    async with a_hub(store_url, node=False) as hub:
        scene = hub.scene
        async with scene.node():
            connection = await hub.active()
            action = evolve(
                comment(hub, connection), expires_at=hub.clock.now() + timedelta(seconds=60)
            )

            async def suspended() -> None:
                await hub.connections.suspend(*place(connection), ME)

            scene.store.on("intend", suspended)
            await scene.order(connection, action)
            await scene.watch.until(lambda: scene.log.of("connection.read_again"))
        hub.clock.advance(seconds=60)

        async with scene.node():
            assert (await scene.ended(action)).state is ActionState.REFUSED


async def test_the_token_of_a_suspended_connection_is_read_anew_when_it_is_resumed(sqlite_url):
    """Secrets are dropped on suspend."""
    async with a_hub(sqlite_url) as hub:
        scene, connection = hub.scene, await hub.active()
        assert connection.auth_ref is not None
        reads = hub.secrets.reads[connection.auth_ref]
        await hub.connections.suspend(*place(connection), ME)
        await scene.watch.until(lambda: scene.log.of("connection.read_again"))
        await scene.watch.until(lambda: scene.store.calls["next_action_at"])
        await hub.connections.resume(*place(connection), ME)
        action = comment(hub, connection)

        await scene.order(connection, action)
        await scene.ended(action)

        assert hub.secrets.reads[connection.auth_ref] == reads + 1


async def test_a_disabled_connection_takes_nothing_in_and_its_webhook_goes(store_url):
    async with a_hub(store_url) as hub:
        connection = await hub.active()
        assert len(hub.hook_urls()) == 1

        disabled = await hub.connections.disable(*place(connection), ME)

        assert (disabled.state, disabled.reason) == (SUSPENDED, "disabled")
        assert not await endpoint_open(hub, connection)
        await hub.scene.watch.until(lambda: not hub.hook_urls())
        assert hub.audited()[-1] == "disable"


async def test_one_that_was_disabled_is_verified_anew_and_gets_its_webhook_back(store_url):
    async with a_hub(store_url) as hub:
        connection = await hub.active()
        await hub.connections.disable(*place(connection), ME)
        await hub.scene.watch.until(lambda: not hub.hook_urls())

        resumed = await hub.connections.resume(*place(connection), ME)
        assert resumed.state is PENDING
        assert await endpoint_open(hub, connection)
        verified = await hub.connections.verify(*place(connection), ME)

        assert verified.passed
        await hub.scene.watch.until(lambda: len(hub.hook_urls()) == 1)
        assert hub.audited() == ["verify", "disable", "reopen", "verify"]


async def test_one_that_never_was_verified_is_not_active_by_being_resumed(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = (await hub.create()).connection
        await hub.connections.suspend(*place(connection), ME)

        assert (await hub.connections.resume(*place(connection), ME)).state is PENDING


async def test_one_that_is_disabled_while_it_is_resumed_does_not_become_active(sqlite_url):
    """What decides is read together with the version that the change is made to."""
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        await hub.connections.suspend(*place(connection), ME)

        async def disabled() -> None:
            await hub.connections.disable(*place(connection), ME)

        hub.scene.store.on("registrations", disabled, after=True)

        assert (await hub.connections.resume(*place(connection), ME)).state is PENDING


async def test_a_tenant_that_may_use_the_provider_no_more_can_not_resume(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        await hub.connections.suspend(*place(connection), ME)
        hub.scene.policy.default = TenantPolicy(providers=())

        with pytest.raises(NotAllowedError):
            await hub.connections.resume(*place(connection), ME)


async def test_what_its_state_does_not_allow_changes_nothing(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()

        with pytest.raises(WrongStateError):
            await hub.connections.resume(*place(connection), ME)
        await hub.connections.suspend(*place(connection), ME)
        with pytest.raises(WrongStateError):
            await hub.connections.verify(*place(connection), ME)
        with pytest.raises(WrongStateError):
            await hub.connections.suspend(*place(connection), ME)
        assert hub.audited() == ["verify", "suspend"]


async def test_a_deleted_connection_is_closed_its_queue_cancelled_its_incidents_over(store_url):
    async with a_hub(store_url) as hub:
        scene, connection = hub.scene, await hub.active()
        ports = hub.connections.ports
        await incidents.opened(ports, connection, incidents.WEBHOOK_LOST, "it is gone")
        await hub.connections.suspend(*place(connection), ME)
        await scene.watch.until(lambda: scene.log.of("connection.read_again"))

        deleted = await hub.connections.delete(*place(connection), ME)

        assert deleted.state is ConnectionState.DELETED
        assert deleted.deleted_at == hub.clock.now()
        assert not await endpoint_open(hub, connection)
        known = await scene.store.inner.incidents(*place(connection), limit=9)
        assert [incident.resolved_at for incident in known] == [hub.clock.now()]
        await scene.watch.until(lambda: ("delete", "deleted") in hub.receipts())
        for gone in (
            hub.connections.resume(*place(connection), ME),
            hub.connections.delete(*place(connection), ME),
            hub.connections.verify(*place(connection), ME),
        ):
            with pytest.raises(MissingError):
                await gone


async def test_nobody_reaches_the_connection_of_another_tenant(sqlite_url):
    """P6 isolated (SEC-IA-02)."""
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        for swapped in ("globex", connection.connection_id), ("acme", uuid4()):
            for call in (
                hub.connections.suspend(*swapped, ME),
                hub.connections.disable(*swapped, ME),
                hub.connections.delete(*swapped, ME),
                hub.connections.verify(*swapped, ME),
                hub.connections.subscribe(*swapped, ME),
                hub.connections.change(*swapped, Edits(display_name="mine"), ME),
            ):
                with pytest.raises(MissingError):
                    await call

        assert (await hub.read(connection)).version == connection.version


async def test_all_open_incidents_are_closed_however_many(sqlite_url, monkeypatch):
    monkeypatch.setattr(incidents, "_AT_ONCE", 2)
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        ports = hub.connections.ports
        for number in range(5):
            assert await incidents.opened(ports, connection, f"kind {number}", "bad")
        assert not await incidents.opened(ports, connection, "kind 1", "worse")

        await incidents.close_all(ports, connection)

        known = await hub.scene.store.inner.incidents(*place(connection), limit=9)
        assert all(incident.resolved_at is not None for incident in known)
        assert not await incidents.closed(ports, connection, "kind 1")


def comment(hub: Hub, connection: ConnectionRecord):
    """A comment on the one pull request there is."""
    return evolve(
        hub.scene.action(connection, REPOSITORY),
        canonical_type="comment_on_pr",
        target=b'{"repository": "acme/rocket", "pr_number": 1}',
        payload=b'{"body": "Checks passed."}',
    )
