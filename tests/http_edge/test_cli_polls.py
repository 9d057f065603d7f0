"""``backfill`` and ``cursors`` over the API of a node: begun, followed to the end, reset only when it is meant."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import orjson
import pytest
import trio
from click.testing import Result

from adapters.contract import Response
from adapters.simulation import as_json
from http_edge.commands.backfills import progress_line
from tests.http_edge.command import call, cli, done
from tests.http_edge.polled import RESOURCE, Shelf
from tests.http_edge.scene import CONNECTIONS
from tests.http_edge.test_cli_api import answering, error

pytestmark = pytest.mark.thorough

ONE, OTHER = str(UUID(int=7)), str(UUID(int=8))
SINCE = "2020-01-01T00:00:00Z"
AT_ONCE = ("--every", "0.05")


def view(status: str, *, found: int = 0, reason: str | None = None, **progress: Any) -> Response:
    shown = {"done": None, "total": None, "per_minute": None, "ends_at": None, **progress}
    document = {
        "backfill_id": OTHER,
        "status": status,
        "reason": reason,
        "progress": {"found": found, "fresh": found, **shown},
    }
    return as_json(200, document)


# --- backfill


async def test_a_backfill_is_begun_and_followed_until_it_is_done(shelf: Shelf) -> None:
    shelf.write(12)
    connection = await shelf.active()

    result = await cli(
        shelf.scene,
        *("backfill", "start", connection.connection_id, "--resource", RESOURCE),
        *("--since", SINCE, "--watch", *AT_ONCE),
    )

    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0].startswith("backfill ")
    assert result.stderr.splitlines()[-1].startswith("done: 12 of 12 read, ")
    assert "status               done" in result.stdout
    assert "progress.fresh       12" in result.stdout


async def test_backfills_are_listed_shown_paused_resumed_and_cancelled(shelf: Shelf) -> None:
    shelf.write(1)
    connection = await shelf.active()
    shelf.scene.store.hold("keep_backfill_page")
    asked = partial(cli, shelf.scene, "backfill")
    place = (connection.connection_id,)
    begun = done(await asked("start", *place, "--resource", RESOURCE, "--since", SINCE, "--json"))
    one = (*place, begun["backfill_id"])

    paused = done(await asked("pause", *one, "--reason", "release day", "--json"))
    listed = await asked("list", *place)
    shown = done(await asked("show", *one, "--json"))
    resumed = done(await asked("resume", *one, "--json"))
    cancelled = done(await asked("cancel", *one, "--json"))
    refused = await asked("pause", *one)
    page = done(await asked("list", *place, "--json"))

    states = [each["status"] for each in (begun, paused, shown, resumed, cancelled)]
    assert states == ["running", "paused", "paused", "running", "cancelled"]
    assert paused["reason"] == shown["reason"] == "release day"
    (heading, row) = listed.stdout.splitlines()
    assert heading.split()[:3] == ["backfill", "id", "resource"]
    assert row.split()[:2] == [begun["backfill_id"], RESOURCE]
    assert (refused.exit_code, "the backfill is cancelled (409 " in refused.stderr) == (1, True)
    assert [each["backfill_id"] for each in page["backfills"]] == [begun["backfill_id"]]


async def test_a_list_says_that_there_is_more(shelf: Shelf) -> None:
    connection = await shelf.active()
    shelf.scene.store.hold("keep_backfill_page")
    for _ in range(2):
        begun = await shelf.begun(connection)
        path = f"{connection.connection_id}/backfills/{begun['backfill_id']}/cancel"
        await shelf.call("POST", path)

    listed = await cli(
        shelf.scene, "backfill", "list", connection.connection_id, "--limit", "1", role="viewer"
    )

    assert len(listed.stdout.splitlines()) == 3
    assert listed.stdout.splitlines()[-1] == "more: --limit"


async def test_what_it_waits_for_is_told_once_and_not_at_every_look() -> None:
    """A rate that changes while nothing comes is no news."""
    waits = partial(view, "running", found=3, done=3, total=9, reason="free at 14:20")
    answers = [view("running"), waits(per_minute=2.0), waits(per_minute=1.5), view("done")]
    async with answering(*answers) as (node, asking):
        result = await asking("backfill", "show", ONE, OTHER, "--watch", *AT_ONCE)

    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        f"backfill {OTHER}",
        "running: 0 found, 0 of them new",
        "running: 3 of 9 read, 3 found, 3 of them new, 2 a minute, free at 14:20",
        "done: 0 found, 0 of them new",
    ]
    path = f"{CONNECTIONS}/{ONE}/backfills/{OTHER}"
    assert [(each.method, each.url) for each in node.asked] == [("GET", path)] * 4


@pytest.mark.parametrize("status", ["cancelled", "failed"])
async def test_what_ends_without_being_done_is_shown_and_exits_1(status: str) -> None:
    ended = view(status, found=2, reason="the list\x1b[2J is gone")
    async with answering(view("paused"), ended) as (_, asking):
        result = await asking("backfill", "show", ONE, OTHER, "--watch", "--json", *AT_ONCE)

    assert result.exit_code == 1
    assert orjson.loads(result.stdout)["status"] == status
    assert result.stderr.splitlines()[-1] == (
        f"Error: not done: {status}: 2 found, 2 of them new, the list\\x1b[2J is gone"
    )


async def test_what_can_not_be_looked_at_any_more_is_not_called_done() -> None:
    async with answering(view("running"), error(503, code="BUSY")) as (_, asking):
        result = await asking("backfill", "show", ONE, OTHER, "--watch", *AT_ONCE)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "503 BUSY" in result.stderr


async def test_start_says_what_it_is_told_and_is_asked_once_under_its_key() -> None:
    async with answering(view("running"), None, view("running")) as (node, asking):
        begin = ("backfill", "start", ONE, "--resource", "r", "--since", SINCE)
        one = await asking(*begin, "--until", "2021-01-01T00:00:00Z", "--json")
        two = await asking(*begin, "--idempotency-key", "mine", "--json")

    assert done(one) == done(two)
    assert [orjson.loads(each.body) for each in node.asked] == [
        {"resource": "r", "since": SINCE, "until": "2021-01-01T00:00:00Z"},
        {"resource": "r", "since": SINCE},
        {"resource": "r", "since": SINCE},
    ]
    assert {each.url for each in node.asked} == {f"{CONNECTIONS}/{ONE}/backfill"}
    assert [each.header("idempotency-key") for each in node.asked[1:]] == ["mine", "mine"]


def test_a_forecast_is_told_where_there_is_one() -> None:
    document = {
        "status": "running",
        "reason": None,
        "progress": {
            "found": 50,
            "fresh": 20,
            "done": 100,
            "total": None,
            "per_minute": 5.0,
            "ends_at": "2026-01-01T00:40:00+00:00",
        },
    }

    assert progress_line(document) == (
        "running: 100 read, 50 found, 20 of them new, 5 a minute, until 2026-01-01T00:40:00+00:00"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("backfill", "start", ONE, "--since", SINCE),
        ("backfill", "start", ONE, "--resource", "r"),
        ("backfill", "start", "k", "--resource", "r", "--since", SINCE),
        ("backfill", "show", ONE),
        ("backfill", "show", ONE, OTHER, "--every", "0"),
        ("backfill", "resume", ONE, OTHER, "--reason", "x"),
        ("backfill", "list", ONE, "--limit", "201"),
        ("cursors", "reset", ONE),
        ("cursors", "show"),
        ("cursors", "poll"),
    ],
)
def test_a_wrong_call_is_explained(arguments: tuple[str, ...]) -> None:
    assert call(*arguments, IA_API_TOKEN="x").exit_code == 2


# --- cursors


async def test_cursors_are_shown(shelf: Shelf) -> None:
    connection = await shelf.active()
    await shelf.until_polled(connection)
    show = ("cursors", "show", connection.connection_id)

    table = await cli(shelf.scene, *show, role="viewer")
    exact = done(await cli(shelf.scene, *show, "--json", role="viewer"))

    (heading, row) = table.stdout.splitlines()
    assert heading.split()[:3] == ["resource", "last", "polled"]
    assert row.split()[:2] == [RESOURCE, exact["cursors"][0]["last_polled_at"]]
    assert set(exact["cursors"][0]["cursor"]) == {"since", "token"}


async def test_what_is_polled_at_once_is_polled_from_where_it_is(shelf: Shelf) -> None:
    connection = await shelf.active()
    await shelf.until_polled(connection)
    (before,) = (await shelf.call("GET", f"{connection.connection_id}/cursors")).json()["cursors"]
    command = ("cursors", "poll", connection.connection_id)

    table = await cli(shelf.scene, *command)
    named = done(await cli(shelf.scene, *command, "--resource", RESOURCE, "--json"))
    unknown = await cli(shelf.scene, *command, "--resource", "pages")

    assert table.stdout.splitlines()[1].split()[0] == RESOURCE
    (now,) = named["cursors"]
    assert now["next_poll_at"] < before["next_poll_at"]
    assert now["cursor"]["since"] >= before["cursor"]["since"]
    assert (unknown.exit_code, unknown.stdout) == (1, "")


async def test_a_reset_asks_first_and_takes_nothing_but_yes(shelf: Shelf) -> None:
    connection = await shelf.active()
    await shelf.until_polled(connection)
    (cursor,) = (await shelf.call("GET", f"{connection.connection_id}/cursors")).json()["cursors"]

    async def reset(typed: str, *more: str) -> Result:
        command = ("cursors", "reset", connection.connection_id, "--resource", RESOURCE, *more)
        return await cli(shelf.scene, *command, typed=typed)

    refused = [await reset(typed) for typed in ("y\n", "no\n", "YES\n", "")]
    untouched = (await shelf.call("GET", f"{connection.connection_id}/cursors")).json()
    agreed = await reset("yes\n", "--json")

    assert [result.exit_code for result in refused] == [1, 1, 1, 1]
    assert {result.stdout for result in refused} == {""}
    asked = f"What entries has had since {cursor['last_polled_at']} will not be polled. Type yes: "
    assert refused[0].stderr.startswith(asked)
    assert untouched["cursors"] == [cursor]
    assert orjson.loads(agreed.stdout)["skipped"]["cursor"] == cursor["cursor"]


async def test_a_reset_that_is_agreed_to_beforehand_shows_what_is_left_unread(
    shelf: Shelf,
) -> None:
    connection = await shelf.active()
    await shelf.until_polled(connection)
    command = ("cursors", "reset", connection.connection_id, "--yes", "--resource")

    done_so = await cli(shelf.scene, *command, RESOURCE)
    unknown = await cli(shelf.scene, *command, "pages")

    assert (done_so.exit_code, done_so.stderr) == (0, "")
    assert "\nskipped.since " in done_so.stdout
    assert (unknown.exit_code, "must be one of entries" in unknown.stderr) == (1, True)


async def test_what_is_asked_moves_no_cursor_of_a_terminal() -> None:
    """A name that is no name is written out, and what was never polled is said to be."""
    cursors = as_json(200, {"cursors": [{"resource": "r\x1b[2J", "last_polled_at": None}]})
    async with answering(cursors) as (_, asking):
        result = await asking("cursors", "reset", ONE, "--resource", "r\x1b[2J")

    assert result.exit_code == 1
    assert result.stderr.startswith("What r\\x1b[2J has had since ever will not be polled.")


async def test_a_watch_looks_as_seldom_as_it_is_told() -> None:
    answers = [view("running"), view("done")]
    async with answering(*answers) as (_, asking):
        began = trio.current_time()
        await asking("backfill", "show", ONE, OTHER, "--watch", "--every", "0.3")

    assert trio.current_time() - began >= 0.3
