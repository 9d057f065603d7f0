"""What every store promises about a connection's life: changes, endpoints, being tidied up."""

from __future__ import annotations

from uuid import uuid4

import orjson
import pytest
import trio
from attrs import evolve

from persistence.changes import ConnectionChange, ConnectionFilter
from persistence.errors import (
    ConflictError,
    MissingError,
    StaleError,
)
from persistence.records import ConnectionRecord, ConnectionState
from persistence.store import Store
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    changed,
    connected,
    connection,
    endpoint,
    found,
    move,
    receipt,
    secret,
)

ACTIVE = ConnectionState.ACTIVE
SUSPENDED = ConnectionState.SUSPENDED
ERROR = ConnectionState.ERROR
PENDING = ConnectionState.PENDING_VERIFICATION
DELETED = ConnectionState.DELETED


async def test_a_change_changes_what_it_names_and_nothing_else(store: Store):
    made = await connected(store)
    change = ConnectionChange(
        state=ACTIVE,
        display_name="new name",
        base_url="https://other.example.test",
        capabilities=("webhook",),
        settings=b'{"depth":2}',
        tags=b'{"team":"web"}',
        network=b'{"proxy":"https://proxy.example.test"}',
    )

    renamed = await changed(store, made, change, now=NOW + DAY)
    again = await changed(store, made, ConnectionChange(state=ACTIVE), now=NOW + 2 * DAY)

    assert (renamed.version, again.version) == (2, 3)
    assert (renamed.display_name, renamed.base_url) == ("new name", "https://other.example.test")
    assert renamed.capabilities == ("webhook",)
    documents = (renamed.settings, renamed.tags, renamed.network)
    assert [orjson.loads(one) for one in documents] == [
        {"depth": 2},
        {"team": "web"},
        {"proxy": "https://proxy.example.test"},
    ]
    assert (renamed.auth_ref, renamed.updated_at) == (made.auth_ref, NOW + DAY)
    assert again == evolve(renamed, version=3, updated_at=NOW + 2 * DAY)
    assert again == await store.connection("acme", made.connection_id)


async def test_a_change_of_another_version_is_stale_and_writes_nothing(store: Store):
    made = await connected(store)
    change = ConnectionChange(state=SUSPENDED, secrets=(secret(made),), open=False)
    place = ("acme", made.connection_id)

    with pytest.raises(StaleError):
        await store.change_connection(*place, change, version=2, receipt=receipt(), now=NOW)

    assert await store.connection(*place) == evolve(
        made, settings=(await found(store, made)).settings
    )
    assert await store.secrets_of(*place, "webhook", now=NOW) == ()
    assert len(await store.chained_receipts("acme", after=0, limit=9)) == 1


async def test_a_change_of_nothing_or_of_another_tenants_is_missing(store: Store):
    """P6."""
    made = await connected(store)
    change = ConnectionChange(state=DELETED)

    for place in (("other", made.connection_id), ("acme", uuid4())):
        with pytest.raises(MissingError):
            await store.change_connection(*place, change, version=1, receipt=None, now=NOW)

    assert (await found(store, made)).state is ACTIVE


async def test_of_two_changes_at_once_one_is_stale(store: Store):
    made = await connected(store)
    outcomes: list[str] = []

    async def change(name: str) -> None:
        wanted = ConnectionChange(state=ACTIVE, display_name=name)
        try:
            await store.change_connection(
                "acme", made.connection_id, wanted, version=1, receipt=receipt(), now=NOW
            )
        except StaleError:
            outcomes.append("stale")
        else:
            outcomes.append(name)

    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(change, name)

    assert outcomes.count("stale") == 2
    now = await found(store, made)
    assert now.version == 2
    assert now.display_name in outcomes
    assert len(await store.chained_receipts("acme", after=0, limit=9)) == 2


async def test_a_new_name_that_is_taken_is_a_conflict(store: Store):
    made, neighbour = await connected(store), await connected(store)

    with pytest.raises(ConflictError):
        await changed(
            store, made, ConnectionChange(state=ACTIVE, display_name=neighbour.display_name)
        )

    assert (await found(store, made)).version == 1


async def test_a_reason_belongs_to_its_state(store: Store):
    made = await connected(store)

    suspended = await move(store, made, SUSPENDED, reason="unpaid")
    renamed = await changed(store, made, ConnectionChange(state=SUSPENDED, display_name="n"))
    resumed = await move(store, made, ACTIVE)

    assert [one.reason for one in (suspended, renamed, resumed)] == ["unpaid", "unpaid", None]


async def test_only_becoming_active_is_verification(store: Store):
    made = await connected(store, state=PENDING)

    failed = await move(store, made, ERROR, now=NOW + SECOND)
    passed = await move(store, made, ACTIVE, now=NOW + 2 * SECOND)
    later = await move(store, made, ACTIVE, now=NOW + DAY)

    assert failed.verified_at is None
    assert passed.verified_at == later.verified_at == NOW + 2 * SECOND


async def test_a_change_and_its_receipt_are_one(store: Store):
    made = await connected(store)
    written = receipt()
    await changed(store, made, ConnectionChange(state=ACTIVE), receipt=written)

    with pytest.raises(ConflictError):
        await changed(store, made, ConnectionChange(state=SUSPENDED), receipt=written)
    with pytest.raises(ValueError, match="another tenant"):
        await changed(store, made, ConnectionChange(state=SUSPENDED), receipt=receipt("other"))

    assert (await found(store, made)).state is ACTIVE


async def test_credentials_and_secrets_change_with_their_connection(store: Store):
    """P3, P8: a rotated secret has its grace, one that ends now is gone."""
    made = connection()
    login, old, older = (
        secret(made, purpose="auth"),
        secret(made, version=2),
        secret(made, version=1, expires_at=NOW + SECOND),
    )
    at = endpoint(made)
    await store.create_connection(
        evolve(made, auth_ref=login.secret_id), at, (login, old, older), receipt()
    )
    fresh, credentials = secret(made, version=3), secret(made, purpose="auth", version=2)
    later = NOW + DAY
    change = ConnectionChange(
        state=ACTIVE,
        auth_ref=credentials.secret_id,
        secrets=(fresh, credentials),
        ending=((old.secret_id, later), (older.secret_id, later), (login.secret_id, NOW)),
    )

    after = await changed(store, made, change)

    assert after.auth_ref == credentials.secret_id
    assert await store.sealed_secret("acme", login.secret_id) is None
    valid = await store.secrets_of("acme", made.connection_id, "webhook", now=NOW)
    assert [one.secret_id for one in valid] == [fresh.secret_id, old.secret_id, older.secret_id]
    assert [one.expires_at for one in valid] == [None, later, NOW + SECOND]
    during = await store.endpoint(at.token_hash, now=NOW + SECOND)
    ended = await store.endpoint(at.token_hash, now=later)
    assert during is not None
    assert ended is not None
    assert during.secret_refs == (fresh.secret_id, old.secret_id)
    assert ended.secret_refs == (fresh.secret_id,)
    cleared = await changed(store, made, ConnectionChange(state=ACTIVE, no_auth=True))
    assert cleared.auth_ref is None


@pytest.mark.parametrize("at", [NOW, NOW + DAY])
async def test_ending_a_secret_that_is_not_the_connections_writes_nothing(store: Store, at):
    """P6."""
    made, neighbour = await connected(store), connection()
    theirs = secret(neighbour)
    await store.create_connection(neighbour, endpoint(neighbour), (theirs,), receipt())

    for secret_id in (theirs.secret_id, uuid4()):
        with pytest.raises(MissingError):
            await changed(
                store, made, ConnectionChange(state=SUSPENDED, ending=((secret_id, at),))
            )

    assert (await found(store, made)).version == 1
    assert await store.sealed_secret("acme", theirs.secret_id) == theirs


async def test_a_change_with_another_connections_rows_is_refused(store: Store):
    """P6."""
    made, neighbour = await connected(store), await connected(store, "other")

    for change in (
        ConnectionChange(state=ACTIVE, secrets=(secret(neighbour),)),
        ConnectionChange(state=ACTIVE, endpoint=endpoint(neighbour, b"2")),
    ):
        with pytest.raises(ValueError, match="another connection"):
            await changed(store, made, change)


async def test_a_rotated_endpoint_leaves_the_older_one_its_grace(store: Store):
    made = connection()
    old = endpoint(made)
    await store.create_connection(made, old, (), receipt())
    token = secret(made, purpose="token")
    new = endpoint(made, b"2", token_ref=token.secret_id, created_at=NOW + SECOND)

    await changed(
        store,
        made,
        ConnectionChange(state=ACTIVE, secrets=(token,), endpoint=new, endpoints_end_at=NOW + DAY),
    )

    during = await store.registrations("acme", made.connection_id, now=NOW)
    after = await store.registrations("acme", made.connection_id, now=NOW + DAY)
    assert [one.registration_id for one in during] == [new.registration_id, old.registration_id]
    assert [(one.token_ref, one.ends_at) for one in during] == [
        (token.secret_id, None),
        (None, NOW + DAY),
    ]
    assert [one.registration_id for one in after] == [new.registration_id]
    assert [await is_open(store, one.token_hash, NOW) for one in (old, new)] == [True, True]
    assert [await is_open(store, one.token_hash, NOW + DAY) for one in (old, new)] == [False, True]
    named = await store.endpoint(new.token_hash, now=NOW)
    assert named is not None
    assert named.token_ref == token.secret_id


async def is_open(store: Store, token_hash: bytes, now) -> bool:
    there = await store.endpoint(token_hash, now=now)
    assert there is not None
    return there.open


async def test_endpoints_are_closed_and_opened_again_unless_they_are_ended(store: Store):
    made = connection()
    old, new = endpoint(made), endpoint(made, b"2")
    await store.create_connection(made, old, (), receipt())
    await changed(store, made, ConnectionChange(state=ACTIVE, endpoint=new, endpoints_end_at=NOW))

    await changed(store, made, ConnectionChange(state=SUSPENDED, open=False))
    closed = [await is_open(store, one.token_hash, NOW) for one in (old, new)]
    (listed,) = await store.registrations("acme", made.connection_id, now=NOW)
    await changed(store, made, ConnectionChange(state=ACTIVE, open=True))
    opened = [await is_open(store, one.token_hash, NOW) for one in (old, new)]

    assert closed == [False, False]
    assert not listed.open
    assert opened == [False, True]


async def test_what_the_provider_was_brought_to_is_remembered(store: Store):
    """P6: by the tenant's own."""
    made = await connected(store)
    (before,) = await store.registrations("acme", made.connection_id, now=NOW)

    await store.keep_hooks("other", before.registration_id, hooks=b'{"id":"0"}', now=NOW + SECOND)
    await store.keep_hooks("acme", before.registration_id, hooks=b'{"id":"7"}', now=NOW + DAY)

    (after,) = await store.registrations("acme", made.connection_id, now=NOW)
    assert (before.hooks, before.checked_at) == (None, None)
    assert orjson.loads(after.hooks or b"") == {"id": "7"}
    assert after.checked_at == NOW + DAY
    assert await store.registrations("other", made.connection_id, now=NOW) == ()


async def test_connections_are_filtered_and_deleted_ones_only_come_when_asked_for(store: Store):
    web = await connected(store)
    await changed(store, web, ConnectionChange(state=ACTIVE, tags=b'{"team":"web","n":"1"}'))
    data = await connected(store, state=SUSPENDED)
    await changed(store, data, ConnectionChange(state=SUSPENDED, tags=b'{"team":"data"}'))
    gone = await connected(store)
    await move(store, gone, DELETED)
    chat = evolve(connection(), provider_id="chat")
    await store.create_connection(chat, endpoint(chat), (), receipt())

    async def ids(only: ConnectionFilter | None, tenant_id: str = "acme"):
        page = await store.connections(tenant_id, after=None, limit=9, only=only)
        return [one.connection_id for one in page]

    def of(*made: ConnectionRecord):
        return sorted(one.connection_id for one in made)

    assert await ids(None) == await ids(ConnectionFilter()) == of(web, data, chat)
    assert await ids(ConnectionFilter(provider_id="chat")) == of(chat)
    assert await ids(ConnectionFilter(states=(SUSPENDED, DELETED))) == of(data, gone)
    assert await ids(ConnectionFilter(states=())) == []
    assert await ids(ConnectionFilter(tags=(("team", "web"),))) == of(web)
    assert await ids(ConnectionFilter(tags=(("team", "web"), ("n", "1")))) == of(web)
    assert await ids(ConnectionFilter(tags=(("team", "web"), ("n", "2")))) == []
    assert await ids(ConnectionFilter(tags=(("team", "we"),))) == []
    assert await ids(ConnectionFilter(states=(SUSPENDED,)), "other") == []
    both = await store.connections(
        "acme", after=of(web, data)[0], limit=9, only=ConnectionFilter(provider_id="github")
    )
    assert [one.connection_id for one in both] == of(web, data)[1:]


async def test_secrets_of_a_purpose_are_the_valid_ones_newest_first(store: Store):
    """P6."""
    made = connection()
    over, old, new = (
        secret(made, version=1, expires_at=NOW),
        secret(made, version=2, expires_at=NOW + SECOND),
        secret(made, version=3),
    )
    other = secret(made, purpose="auth")
    await store.create_connection(made, endpoint(made), (over, old, new, other), receipt())

    assert await store.secrets_of("acme", made.connection_id, "webhook", now=NOW) == (new, old)
    assert await store.secrets_of("acme", made.connection_id, "auth", now=NOW) == (other,)
    assert await store.secrets_of("other", made.connection_id, "auth", now=NOW) == ()


async def test_versions_are_unique_where_they_count(store: Store):
    made = connection()
    await store.create_connection(made, endpoint(made), (secret(made),), receipt())
    tokens = (secret(made, purpose="token"), secret(made, purpose="token"))

    await changed(store, made, ConnectionChange(state=ACTIVE, secrets=tokens))
    with pytest.raises(ConflictError):
        await changed(store, made, ConnectionChange(state=ACTIVE, secrets=(secret(made),)))

    assert len(await store.secrets_of("acme", made.connection_id, "token", now=NOW)) == 2


async def test_deleted_connections_wait_to_be_tidied_up(store: Store):
    soon, later, alive = [await connected(store) for _ in range(3)]
    elsewhere = await connected(store, "other")
    await move(store, soon, DELETED, now=NOW + SECOND)
    await changed(store, later, ConnectionChange(state=DELETED, clean_at=NOW + DAY))
    await move(store, elsewhere, DELETED, now=NOW)

    async def waiting(now, limit=9):
        return list(await store.connections_to_clean(now=now, limit=limit))

    first, second = ("other", elsewhere.connection_id), ("acme", soon.connection_id)
    assert await waiting(NOW - SECOND) == []
    assert await waiting(NOW + SECOND) == [first, second]
    assert await waiting(NOW + SECOND, limit=1) == [first]
    assert await waiting(NOW + DAY) == [first, second, ("acme", later.connection_id)]
    await changed(store, later, ConnectionChange(state=DELETED, clean_at=NOW))
    assert len(await waiting(NOW)) == 2
    assert (await found(store, alive)).state is ACTIVE


async def test_a_tidied_up_connection_has_no_secret_left(store: Store):
    """P8."""
    made, neighbour = connection(), connection()
    for one in (made, neighbour):
        secrets = (secret(one), secret(one, purpose="auth"), secret(one, purpose="token"))
        await store.create_connection(one, endpoint(one), secrets, receipt())
    await move(store, made, DELETED)

    await store.cleaned("acme", made.connection_id, again_at=NOW + DAY, now=NOW)
    put_off = [
        await store.connections_to_clean(now=now, limit=9) for now in (NOW + SECOND, NOW + DAY)
    ]
    kept = await secrets_left(store, made)
    await store.cleaned("acme", made.connection_id, again_at=None, now=NOW + DAY)

    assert put_off == [(), (("acme", made.connection_id),)]
    assert kept == 3
    assert await secrets_left(store, made) == 0
    assert await secrets_left(store, neighbour) == 3
    assert await store.connections_to_clean(now=NOW + 9 * DAY, limit=9) == ()
    assert (await found(store, made)).state is DELETED


async def secrets_left(store: Store, made: ConnectionRecord) -> int:
    purposes = ("auth", "webhook", "token")
    place = (made.tenant_id, made.connection_id)
    return sum([len(await store.secrets_of(*place, one, now=NOW)) for one in purposes])


async def test_only_a_deleted_connection_of_the_tenant_is_tidied_up(store: Store):
    """P6."""
    made = connection()
    await store.create_connection(made, endpoint(made), (secret(made),), receipt())

    for tenant_id in ("acme", "other"):
        with pytest.raises(MissingError):
            await store.cleaned(tenant_id, made.connection_id, again_at=None, now=NOW)
        await move(store, made, ACTIVE)
    await move(store, made, DELETED)
    with pytest.raises(MissingError):
        await store.cleaned("other", made.connection_id, again_at=None, now=NOW)

    assert await secrets_left(store, made) == 1
