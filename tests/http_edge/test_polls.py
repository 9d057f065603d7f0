"""Backfills and cursors over the API of a node that polls a provider without webhooks (FR-5)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import orjson
import pytest

from actors import backfills
from actors.errors import IncapableError
from adapters.registry import register
from http_edge.surroundings import REPOSITORY
from tests.fakes.adapters import ScriptedAdapter
from tests.http_edge.polled import RESOURCE, Shelf
from tests.http_edge.scene import CONNECTIONS, Connected, error_of
from tests.http_edge.test_intake import connection

SINCE = "2020-01-01T00:00:00Z"
WISH = {"resource": RESOURCE, "since": SINCE}


def paths(connection: Connected, backfill: dict[str, Any]) -> str:
    return f"{connection.connection_id}/backfills/{backfill['backfill_id']}"


def logged(shelf: Shelf, event: str) -> list[dict[str, Any]]:
    lines = [orjson.loads(line) for line in shelf.scene.log.getvalue().splitlines()]
    return [line for line in lines if line["event"] == event]


async def none_stored(shelf: Shelf, connection: Connected) -> bool:
    listed = await shelf.call("GET", f"{connection.connection_id}/backfills")
    return bool(listed.json() == {"backfills": [], "more": False})


# --- beginning


async def test_a_backfill_begins_and_comes_to_its_end(shelf: Shelf) -> None:
    """What was written before is found and forwarded, and the view says so."""
    shelf.write(12)
    connection = await shelf.active()

    answer = await shelf.call("POST", f"{connection.connection_id}/backfill", WISH)
    begun = answer.json()
    place = answer.headers["location"]

    async def is_done() -> bool:
        shown = await shelf.scene.call("viewer", "GET", place)
        return bool(shown.json()["status"] == "done")

    await shelf.scene.until(is_done)
    done = (await shelf.scene.call("viewer", "GET", place)).json()
    assert answer.status_code == 202
    assert place == f"{CONNECTIONS}/{paths(connection, begun)}"
    assert (begun["status"], begun["since"]) == ("running", "2020-01-01T00:00:00+00:00")
    assert (begun["ended_at"], begun["progress"]["found"]) == (None, 0)
    assert done["progress"]["done"] == done["progress"]["total"] == 12
    assert done["progress"]["found"] >= done["progress"]["fresh"] == 12
    assert done["progress"]["per_minute"] > 0
    assert (done["next_at"], done["progress"]["ends_at"], done["reason"]) == (None, None, None)
    assert len(await shelf.scene.arrived(12)) == 12
    (line,) = logged(shelf, "backfill.changed")
    assert (line["audit"], line["order"], line["state"]) == (True, "begin", "running")
    assert (line["resource"], line["backfill"]) == (RESOURCE, begun["backfill_id"])
    assert line["by"]


async def test_times_are_kept_in_utc_whatever_zone_they_are_said_in(shelf: Shelf) -> None:
    """Around a day that has no 02:30 in Berlin, and on a day that most years do not have."""
    connection = await shelf.active()
    shelf.scene.store.hold("keep_backfill_page")

    begun = await shelf.begun(
        connection, since="2024-02-29T23:30:00-05:00", until="2025-03-30T02:30:00+01:00"
    )

    assert begun["since"] == "2024-03-01T04:30:00+00:00"
    assert begun["until"] == "2025-03-30T01:30:00+00:00"


WRONG: list[tuple[dict[str, Any], int, str, str]] = [
    ({"resource": RESOURCE}, 400, "since", "is required"),
    ({"since": SINCE}, 400, "resource", "is required"),
    ({**WISH, "resource": ""}, 400, "resource", "length"),
    ({**WISH, "since": "2020-01-01T00:00:00"}, 400, "since", "timezone"),
    ({**WISH, "until": "2020-01-02T00:00:00"}, 400, "until", "timezone"),
    ({**WISH, "since": "yesterday"}, 400, "since", "RFC3339"),
    ({**WISH, "since": 1_577_836_800}, 400, "since", "datetime"),
    ({**WISH, "speed": "fast"}, 400, "speed", "not known"),
    ({**WISH, "resource": "pages"}, 422, "resource", "must be one of entries"),
    ({**WISH, "until": SINCE}, 422, "since", "before until"),
    ({**WISH, "until": "2019-12-31T00:00:00Z"}, 422, "since", "before until"),
    ({**WISH, "since": "9999-12-31T23:59:59-14:00"}, 422, "since", "before until"),
    ({**WISH, "until": "9999-12-31T23:59:59-14:00"}, 422, "until", "future"),
    ({**WISH, "since": "0001-01-01T00:00:00+14:00"}, 422, "since", "1970"),
]


async def test_a_wrong_wish_names_its_field_and_stores_nothing(shelf: Shelf) -> None:
    connection = await shelf.active()

    for wish, status, field, said in WRONG:
        answer = await shelf.call("POST", f"{connection.connection_id}/backfill", wish)
        assert answer.status_code == status, wish
        error = error_of(answer)
        assert error["details"]["field"] == field, wish
        assert said in error["message"], wish

    assert await none_stored(shelf, connection)


async def test_what_there_is_to_read_is_named_but_not_all_of_a_long_list(shelf: Shelf) -> None:
    names = [REPOSITORY, *(f"acme/rocket-{number}" for number in range(4))]
    many = await shelf.scene.active(settings={"repositories": names})
    none = await shelf.scene.active()

    of_many = await shelf.call("POST", f"{many.connection_id}/backfill", WISH)
    of_none = await shelf.call("POST", f"{none.connection_id}/backfill", WISH)

    assert of_many.status_code == of_none.status_code == 422
    assert f"must be one of issues:{REPOSITORY}, " in error_of(of_many)["message"]
    assert error_of(of_many)["message"].endswith(" and 5 more")
    assert "there is none" in error_of(of_none)["message"]


async def test_what_can_not_be_read_is_not_backfilled(shelf: Shelf) -> None:
    """A connection without credentials has nothing to ask its provider with."""
    silent = await shelf.scene.active(auth=None)

    answer = await shelf.call("POST", f"{silent.connection_id}/backfill", WISH)

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "CAPABILITY_MISSING"
    assert "credentials" in error_of(answer)["message"]
    assert await none_stored(shelf, silent)


def test_a_provider_that_can_not_be_polled_says_so() -> None:
    ports: Any = SimpleNamespace(registry=register((ScriptedAdapter(),)))

    with pytest.raises(IncapableError, match="scripted can not be polled"):
        backfills.resources_of(ports, connection(auth_ref=uuid4()))


@pytest.mark.parametrize("verb", ["suspend", "disable", "delete"])
async def test_only_an_active_connection_is_backfilled(shelf: Shelf, verb: str) -> None:
    connection = await shelf.active()
    method, path = ("DELETE", "") if verb == "delete" else ("POST", f"/{verb}")
    await shelf.call(method, f"{connection.connection_id}{path}")

    answer = await shelf.call("POST", f"{connection.connection_id}/backfill", WISH)

    assert answer.status_code == 409
    assert error_of(answer)["code"] == "CONNECTION_NOT_ACTIVE"
    assert await none_stored(shelf, connection)


async def test_a_resource_has_one_backfill_at_a_time(shelf: Shelf) -> None:
    """One that is paused may go on, so it counts; one that has ended does not."""
    shelf.write(1)
    connection = await shelf.active()
    shelf.scene.store.hold("keep_backfill_page")
    one = await shelf.begun(connection)
    path = paths(connection, one)

    beside = await shelf.call("POST", f"{connection.connection_id}/backfill", WISH)
    await shelf.call("POST", f"{path}/pause")
    after_pause = await shelf.call("POST", f"{connection.connection_id}/backfill", WISH)
    await shelf.call("POST", f"{path}/cancel")
    other = await shelf.begun(connection)

    assert beside.status_code == after_pause.status_code == 409
    assert "another backfill of entries runs or is paused" in error_of(beside)["message"]
    listed = await shelf.call("GET", f"{connection.connection_id}/backfills")
    newest = [each["backfill_id"] for each in listed.json()["backfills"]]
    assert newest == [other["backfill_id"], one["backfill_id"]]


async def test_the_same_request_under_its_key_begins_one(shelf: Shelf) -> None:
    connection = await shelf.active()
    path = f"{connection.connection_id}/backfill"

    one = await shelf.call("POST", path, WISH, idempotency_key="k")
    again = await shelf.call("POST", path, WISH, idempotency_key="k")
    other = await shelf.call(
        "POST", path, {**WISH, "since": "2021-01-01T00:00:00Z"}, idempotency_key="k"
    )

    assert one.content == again.content
    assert one.headers["location"] == again.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert error_of(other)["code"] == "IDEMPOTENCY_KEY_REUSED"
    listed = await shelf.call("GET", f"{connection.connection_id}/backfills")
    assert len(listed.json()["backfills"]) == 1


# --- what is ordered of one


async def test_a_backfill_is_paused_goes_on_and_is_cancelled(shelf: Shelf) -> None:
    shelf.write(7)
    connection = await shelf.active()
    shelf.scene.store.hold("keep_backfill_page")
    path = paths(connection, await shelf.begun(connection))

    paused = await shelf.call("POST", f"{path}/pause", {"reason": "it is release day"})
    paused_again = await shelf.call("POST", f"{path}/pause")
    resumed = await shelf.call("POST", f"{path}/resume")
    resumed_again = await shelf.call("POST", f"{path}/resume")
    cancelled = await shelf.call("POST", f"{path}/cancel", {"reason": "a mistake"})

    assert (paused.json()["status"], paused.json()["reason"]) == ("paused", "it is release day")
    assert paused.json()["next_at"] is None
    assert (resumed.json()["status"], resumed.json()["reason"]) == ("running", None)
    assert (cancelled.json()["status"], cancelled.json()["reason"]) == ("cancelled", "a mistake")
    assert cancelled.json()["ended_at"] is not None
    assert "the backfill is paused" in error_of(paused_again)["message"]
    assert "the backfill is running" in error_of(resumed_again)["message"]
    for order in ("pause", "resume", "cancel"):
        refused = await shelf.call("POST", f"{path}/{order}")
        assert refused.status_code == 409, order
        assert "the backfill is cancelled" in error_of(refused)["message"]
    lines = logged(shelf, "backfill.changed")
    assert [line["order"] for line in lines] == ["begin", "pause", "resume", "cancel"]
    assert all(line["audit"] and line["by"] for line in lines)
    assert lines[1]["reason"] == "it is release day"


async def test_what_was_being_read_at_a_pause_is_found_when_it_goes_on(shelf: Shelf) -> None:
    """Nothing is lost, and nothing comes twice (P5)."""
    shelf.write(7)
    connection = await shelf.active()
    gate = shelf.scene.store.hold("keep_backfill_page")
    path = paths(connection, await shelf.begun(connection))
    await shelf.scene.store.entered.wait()
    await shelf.call("POST", f"{path}/pause")
    gate.set()

    async def is_dropped() -> bool:
        return bool(logged(shelf, "read.superseded"))

    await shelf.scene.until(is_dropped)
    stands = (await shelf.call("GET", path)).json()
    await shelf.call("POST", f"{path}/resume")

    assert (stands["status"], stands["progress"]["found"]) == ("paused", 0)
    assert len(await shelf.scene.arrived(7)) == 7


async def test_the_newest_are_listed_and_that_there_are_more(shelf: Shelf) -> None:
    connection = await shelf.active()
    shelf.scene.store.hold("keep_backfill_page")
    ids: list[str] = []
    for _ in range(3):
        one = await shelf.begun(connection)
        ids.insert(0, one["backfill_id"])
        await shelf.call("POST", f"{paths(connection, one)}/cancel")

    async def listed(query: str) -> tuple[list[str], bool]:
        answer = await shelf.call("GET", f"{connection.connection_id}/backfills{query}")
        page = answer.json()
        return [each["backfill_id"] for each in page["backfills"]], page["more"]

    assert await listed("") == (ids, False)
    assert await listed("?limit=3") == (ids, False)
    assert await listed("?limit=2") == (ids[:2], True)


# --- whose it is


async def test_another_connections_backfill_is_not_found(shelf: Shelf) -> None:
    """P6: nor another tenant's, whichever connection it is looked for under."""
    mine, other = await shelf.active(), await shelf.active()
    theirs = await shelf.active("globex")
    shelf.scene.store.hold("keep_backfill_page")
    begun = await shelf.begun(mine)
    of_theirs = await shelf.call("POST", f"{theirs.connection_id}/backfill", WISH, tenant="globex")
    wrong = [
        (other.connection_id, begun["backfill_id"]),
        (mine.connection_id, of_theirs.json()["backfill_id"]),
        (theirs.connection_id, of_theirs.json()["backfill_id"]),
        (mine.connection_id, str(uuid4())),
        (mine.connection_id, "none"),
        (str(uuid4()), begun["backfill_id"]),
    ]

    for connection_id, backfill_id in wrong:
        path = f"{connection_id}/backfills/{backfill_id}"
        for method, verb in (("GET", ""), ("POST", "/pause"), ("POST", "/cancel")):
            answer = await shelf.call(method, f"{path}{verb}")
            assert answer.status_code == 404, path

    still = await shelf.call("GET", paths(mine, begun))
    assert still.json()["status"] == "running"


@pytest.mark.parametrize("role", ["viewer", "module", "operator"])
async def test_who_may_only_look_begins_and_changes_nothing(shelf: Shelf, role: str) -> None:
    connection = await shelf.active()
    shelf.scene.store.hold("keep_backfill_page")
    begun = await shelf.begun(connection)
    one, path = f"{CONNECTIONS}/{connection.connection_id}", paths(connection, begun)

    for place in (f"{one}/cursors", f"{one}/backfills", f"{CONNECTIONS}/{path}"):
        assert (await shelf.scene.call(role, "GET", place)).status_code == 200
    for place, body in (
        (f"{one}/backfill", WISH),
        (f"{one}/cursors/reset", {"resource": RESOURCE}),
        (f"{one}/poll", None),
        *((f"{CONNECTIONS}/{path}/{order}", None) for order in ("pause", "resume", "cancel")),
    ):
        refused = await shelf.scene.call(role, "POST", place, body)
        assert refused.status_code == 403, place


# --- cursors


async def test_a_cursor_is_shown_as_it_stands(shelf: Shelf) -> None:
    connection = await shelf.active()
    await shelf.until_polled(connection)

    shown = await shelf.call("GET", f"{connection.connection_id}/cursors")

    (cursor,) = shown.json()["cursors"]
    assert cursor["resource"] == RESOURCE
    assert set(cursor["cursor"]) == {"since", "token"}
    assert cursor["every_s"] > 0
    assert (cursor["failures"], cursor["last_news_at"]) == (0, None)
    assert cursor["next_poll_at"] > cursor["last_polled_at"]


async def test_a_reset_begins_from_now_and_says_what_was_skipped(shelf: Shelf) -> None:
    """What it leaves unread begins where the last poll would have looked again."""
    connection = await shelf.active()
    await shelf.until_polled(connection)
    path = f"{connection.connection_id}/cursors"
    (before,) = (await shelf.call("GET", path)).json()["cursors"]
    shelf.scene.store.hold("keep_page")

    answer = await shelf.call("POST", f"{path}/reset", {"resource": RESOURCE})

    reset = answer.json()
    assert answer.status_code == 200, answer.text
    assert (reset["cursor"], reset["resource"]) == (None, RESOURCE)
    assert reset["skipped"]["cursor"] == before["cursor"]
    assert reset["skipped"]["until"] == reset["next_poll_at"] > before["last_polled_at"]
    assert reset["skipped"]["since"] < before["last_polled_at"]
    (line,) = logged(shelf, "cursor.reset")
    assert (line["audit"], line["resource"]) == (True, RESOURCE)
    assert line["read_until"] == reset["skipped"]["since"]
    assert line["by"]


async def test_a_reset_cursor_is_polled_at_once(shelf: Shelf) -> None:
    connection = await shelf.active()
    await shelf.until_polled(connection)
    path = f"{connection.connection_id}/cursors"
    asked = len(shelf.book.seen)

    await shelf.call("POST", f"{path}/reset", {"resource": RESOURCE})

    async def polled_again() -> bool:
        (cursor,) = (await shelf.call("GET", path)).json()["cursors"]
        return cursor["cursor"] is not None

    await shelf.scene.until(polled_again)
    assert len(shelf.book.seen) > asked


async def test_what_a_reset_left_unread_is_found_by_a_backfill_of_it(shelf: Shelf) -> None:
    """What happened between the last poll and the reset is not polled; its answer says how to have it."""
    connection = await shelf.active()
    await shelf.until_polled(connection)
    shelf.write(3)
    path = f"{connection.connection_id}/cursors/reset"
    skipped = (await shelf.call("POST", path, {"resource": RESOURCE})).json()["skipped"]

    await shelf.begun(connection, since=skipped["since"])

    assert len(await shelf.scene.arrived(3)) == 3


@pytest.mark.parametrize("named", [{}, {"resource": RESOURCE}])
async def test_what_is_polled_now_goes_on_where_it_was(
    shelf: Shelf, named: dict[str, str]
) -> None:
    """Without waiting for its time, and nothing is left unread."""
    connection = await shelf.active()
    await shelf.until_polled(connection)
    (before,) = (await shelf.call("GET", f"{connection.connection_id}/cursors")).json()["cursors"]
    shelf.write(2)

    answer = await shelf.call("POST", f"{connection.connection_id}/poll", named)

    (now,) = answer.json()["cursors"]
    assert answer.status_code == 202
    assert now["cursor"] == before["cursor"]
    assert now["next_poll_at"] < before["next_poll_at"]
    assert len(await shelf.scene.arrived(2)) == 2
    (line,) = logged(shelf, "cursors.poll_now")
    assert (line["audit"], line["resources"]) == (True, [RESOURCE])
    assert line["by"]


async def test_only_what_is_there_of_an_active_connection_is_polled_now(shelf: Shelf) -> None:
    connection = await shelf.active()
    await shelf.until_polled(connection)
    path = f"{connection.connection_id}/poll"

    unknown = await shelf.call("POST", path, {"resource": "pages"})
    await shelf.call("POST", f"{connection.connection_id}/suspend")
    suspended = await shelf.call("POST", path)

    assert (unknown.status_code, error_of(unknown)["details"]["field"]) == (422, "resource")
    assert error_of(suspended)["code"] == "CONNECTION_NOT_ACTIVE"
    assert logged(shelf, "cursors.poll_now") == []


async def test_a_cursor_that_was_never_polled_skips_nothing_that_is_known(shelf: Shelf) -> None:
    shelf.scene.store.hold("keep_page")
    connection = await shelf.active()
    await shelf.scene.store.entered.wait()

    answer = await shelf.call(
        "POST", f"{connection.connection_id}/cursors/reset", {"resource": RESOURCE}
    )

    assert answer.json()["skipped"]["since"] is None
    assert answer.json()["skipped"]["cursor"] is None
    (line,) = logged(shelf, "cursor.reset")
    assert line["read_until"] is None


async def test_a_wrong_reset_changes_nothing(shelf: Shelf) -> None:
    connection, unpolled = await shelf.active(), await shelf.scene.active()
    await shelf.until_polled(connection)
    path = f"{connection.connection_id}/cursors/reset"

    other = await shelf.call("POST", path, {"resource": "pages"})
    nothing = await shelf.call(
        "POST", f"{unpolled.connection_id}/cursors/reset", {"resource": "pages"}
    )
    unnamed = await shelf.call("POST", path)
    await shelf.call("POST", f"{connection.connection_id}/suspend")
    suspended = await shelf.call("POST", path, {"resource": RESOURCE})

    assert [each.status_code for each in (other, unnamed, suspended)] == [422, 400, 409]
    assert "must be one of entries" in error_of(other)["message"]
    assert error_of(nothing)["details"]["field"] == "resource"
    assert error_of(suspended)["code"] == "CONNECTION_NOT_ACTIVE"
    assert logged(shelf, "cursor.reset") == []


async def test_the_cursors_of_another_tenant_are_not_there(shelf: Shelf) -> None:
    theirs = await shelf.active("globex")
    await shelf.until_polled(theirs)
    path = f"{theirs.connection_id}/cursors"

    shown = await shelf.call("GET", path)
    reset = await shelf.call("POST", f"{path}/reset", {"resource": RESOURCE})

    assert shown.status_code == reset.status_code == 404
    (cursor,) = (await shelf.call("GET", path, tenant="globex")).json()["cursors"]
    assert cursor["cursor"] is not None
