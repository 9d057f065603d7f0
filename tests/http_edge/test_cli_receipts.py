"""``receipts``: the chain of a tenant leaves the database whole, and what is changed in it there is found."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import orjson
import pytest
import trio

from persistence.opening import is_postgres, open_store, sqlite_path
from tests.http_edge.command import call, cli
from tests.http_edge.scene import EXECUTE, Opened, running
from tests.http_edge.test_settings import LEAST
from tests.persistence.samples import connected
from tests.postgres import execute


async def fill(url: str, length: int, tenant_id: str = "acme") -> None:
    async with open_store(url) as store:
        for _ in range(length):
            await connected(store, tenant_id)


@pytest.fixture
def filled(store_url: str) -> str:
    """A database, of each engine, with five receipts of acme and two of initech."""
    trio.run(fill, store_url, 5)
    trio.run(partial(fill, store_url, 2, tenant_id="initech"))
    return store_url


def change(url: str, *statements: str) -> None:
    """What somebody with a hand in the database does."""
    if is_postgres(url):
        execute(url, *statements)
        return
    database = sqlite3.connect(sqlite_path(url))
    try:
        for statement in statements:
            database.execute(statement)
        database.commit()
    finally:
        database.close()


def test_what_is_exported_is_proven_without_database_or_settings(filled: str) -> None:
    exported = call("receipts", "export", "--tenant", "acme", **LEAST, IA_DATABASE_URL=filled)
    proven = call("receipts", "verify", "-", typed=exported.stdout_bytes)

    assert (exported.exit_code, exported.stderr) == (0, "")
    numbers = [orjson.loads(line)["sequence_no"] for line in exported.stdout_bytes.splitlines()]
    assert numbers == [1, 2, 3, 4, 5]
    assert (proven.exit_code, proven.stderr) == (0, "")
    assert proven.stdout.startswith("whole from 1 to 5 (the first of their tenant); ")


def test_an_export_may_go_on_from_the_last_one(filled: str, tmp_path: Path) -> None:
    database = {**LEAST, "IA_DATABASE_URL": filled}
    export = ("receipts", "export", "--tenant", "acme")
    whole = call(*export, **database).stdout_bytes
    rest = call(*export, "--after", "3", **database).stdout_bytes
    (tmp_path / "rest.jsonl").write_bytes(rest)

    proven = call("receipts", "verify", str(tmp_path / "rest.jsonl"))

    assert whole.endswith(rest)
    assert proven.exit_code == 0
    assert "whole from 4 to 5 (older ones are not here" in proven.stdout


def test_what_is_kept_is_proven_where_it_is(filled: str) -> None:
    proven = call("receipts", "verify", "--tenant", "initech", **LEAST, IA_DATABASE_URL=filled)

    assert (proven.exit_code, proven.stderr) == (0, "")
    assert proven.stdout.startswith("whole from 1 to 2 ")


@pytest.mark.parametrize(
    ("statement", "first_broken"),
    [
        ("UPDATE receipts SET body = '{}' WHERE tenant_id = 'acme' AND sequence_no = 3", 3),
        ("UPDATE receipts SET operation = 'x' WHERE tenant_id = 'acme' AND sequence_no = 5", 5),
        ("DELETE FROM receipts WHERE tenant_id = 'acme' AND sequence_no = 2", 3),
        (
            "UPDATE receipts SET stamped_at = '2026-03-01 12:00:07+00:00' WHERE sequence_no = 4",
            4,
        ),
        (
            "UPDATE receipts SET sequence_no = 9 WHERE tenant_id = 'acme' AND sequence_no = 2",
            3,
        ),
    ],
)
def test_a_change_in_the_database_is_found_there_and_in_the_export(
    filled: str, statement: str, first_broken: int
) -> None:
    change(filled, statement)
    database = {**LEAST, "IA_DATABASE_URL": filled}

    kept = call("receipts", "verify", "--tenant", "acme", **database)
    exported = call("receipts", "export", "--tenant", "acme", **database)
    file = call("receipts", "verify", "-", typed=exported.stdout_bytes)

    for proven in (kept, file):
        assert proven.exit_code == 1
        assert proven.stderr.startswith(f"broken: receipt {first_broken} (")
        assert len(proven.stderr.splitlines()) == 1
    assert kept.stdout == file.stdout


def test_a_tenant_without_receipts_has_nothing_proven(sqlite_url: str) -> None:
    proven = call("receipts", "verify", "--tenant", "nobody", **LEAST, IA_DATABASE_URL=sqlite_url)

    assert proven.exit_code == 1
    assert proven.stdout == "no receipt is proven\n"


def test_an_empty_file_proves_nothing() -> None:
    assert call("receipts", "verify", "-").exit_code == 1


@pytest.mark.parametrize("command", ["export", "verify"])
def test_a_database_that_does_not_answer_is_no_broken_chain(command: str, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    url = f"sqlite:///{tmp_path}/broken.db"

    result = call("receipts", command, "--tenant", "acme", **LEAST, IA_DATABASE_URL=url)

    assert result.exit_code == 3
    assert result.stderr.startswith("StoreUnavailableError: ")


@pytest.mark.parametrize(
    "arguments", [(), ("-", "--tenant", "acme"), ("/no/such/file",), ("--tenant", "acme")]
)
def test_a_proof_needs_one_thing_to_prove(arguments: tuple[str, ...]) -> None:
    """The last one needs settings, which are not there."""
    result = call("receipts", "verify", *arguments)

    assert result.exit_code == 2
    assert result.stdout == ""


def test_what_the_command_line_is_told_is_no_mistake_in_a_nodes_settings(filled: str) -> None:
    told = {"IA_API_URL": "http://x", "IA_API_TOKEN": "x", "IA_SEND_SECRET": "x"}

    proven = call(
        "receipts", "verify", "--tenant", "acme", **LEAST, **told, IA_DATABASE_URL=filled
    )

    assert proven.exit_code == 0


async def test_the_receipts_of_a_running_node_are_a_chain(opened: Opened) -> None:
    """FR-13: create, verify, an action, suspend; each left its link."""
    async with running(opened, opened.settings()) as scene:
        connection = await scene.active()
        body = scene.action_body(connection, "k")
        await scene.call("module", "POST", EXECUTE, body, headers={"prefer": "wait=10"})
        await cli(scene, "connections", "suspend", connection.connection_id)
        told = {**scene.around.environ(), "IA_PUBLIC_URL": "http://127.0.0.1:1"}
        told["IA_DATABASE_URL"] = opened.database_url
        exported = await trio.to_thread.run_sync(
            partial(call, "receipts", "export", "--tenant", "acme", **told)
        )

    operations = [orjson.loads(line)["operation"] for line in exported.stdout.splitlines()]
    assert operations[0] == "integration.connection.github.create"
    assert "integration.action.github.comment_on_pr" in operations
    assert operations[-1] == "integration.connection.github.suspend"
    assert call("receipts", "verify", "-", typed=exported.stdout_bytes).exit_code == 0
