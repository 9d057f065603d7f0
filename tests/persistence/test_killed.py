"""P1: what accept returned for is there, however its process ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import trio

from persistence.opening import open_store
from tests.persistence.samples import connected, delivery

WRITER = """
import sys, trio
from uuid import UUID
from attrs import evolve
from persistence.opening import open_store
from tests.persistence.samples import connection, delivery

async def main(url, connection_id):
    at = connection(connection_id=UUID(connection_id))
    async with open_store(url) as store:
        for number in range(100_000):
            batch = [delivery(at, f"{number}-{index}", body=b"x" * 3000) for index in range(3)]
            await store.accept(batch)
            print(number, flush=True)

trio.run(main, *sys.argv[1:])
"""
ROOT = Path(__file__).parents[2]


async def test_what_was_accepted_survives_a_killed_process(store_url: str):
    async with open_store(store_url) as store:
        at = await connected(store)
    said = 0
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", WRITER, store_url, str(at.connection_id)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None

    with trio.fail_after(30):
        async for chunk in process.stdout:
            said += chunk.count(b"\n")
            if said >= 30:
                process.send_signal(signal.SIGKILL)
        await process.wait()

    assert process.returncode == -signal.SIGKILL
    async with open_store(store_url) as store:
        known = await store.accept(
            [delivery(at, f"{number}-{index}") for number in range(said) for index in range(3)]
        )
        assert known == (False,) * (3 * said)
        (ledger,) = await store.accounting()
        assert ledger.difference == 0
        assert ledger.pending % 3 == 0  # a batch is there whole or not at all
