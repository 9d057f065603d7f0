"""The way from trio into asyncio and back: results, errors, cancellation, and what nobody takes."""

from __future__ import annotations

import asyncio
import threading

import pytest
import trio

from persistence.crossing import AsyncioThread, open_asyncio


async def test_work_runs_in_a_thread_of_its_own_and_its_result_comes_back():
    here = threading.get_ident()

    async def work() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    async with open_asyncio(clean_up=5) as there:
        assert await there.run(work) != here


async def test_an_error_comes_back_as_it_is():
    async def work() -> None:
        await asyncio.sleep(0)
        raise LookupError("gone")

    async with open_asyncio(clean_up=5) as there:
        with pytest.raises(LookupError, match="gone"):
            await there.run(work)


async def test_much_work_runs_side_by_side():
    together = asyncio.Barrier(20)

    async def work() -> None:
        await together.wait()  # nobody passes until all are here

    with trio.fail_after(10):
        async with open_asyncio(clean_up=5) as there, trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(there.run, work)


async def test_a_cancelled_caller_waits_until_the_other_side_has_cleaned_up():
    steps: list[str] = []
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def work() -> None:
        token.run_sync_soon(begun.set)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    async def call(there: AsyncioThread, scope: trio.CancelScope) -> None:
        with scope:
            await there.run(work)
        steps.append("came back")

    async with open_asyncio(clean_up=5) as there, trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(call, there, scope)
        await begun.wait()
        scope.cancel()

    assert steps == ["cleaned up", "came back"]
    assert scope.cancelled_caught


async def test_cleaning_up_is_waited_for_only_so_long():
    """P11."""
    begun, release = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    async def work() -> None:
        token.run_sync_soon(begun.set)
        try:
            await asyncio.Event().wait()
        finally:
            while not release.is_set():  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.001)

    async with open_asyncio(clean_up=0.01) as there, trio.open_nursery() as nursery:
        nursery.start_soon(there.run, work)
        await begun.wait()
        nursery.cancel_scope.cancel()
    release.set()


async def test_what_asyncio_can_tell_nobody_is_logged_without_its_text(
    caplog: pytest.LogCaptureFixture,
):
    """P8: and does not take the program down."""

    async def work() -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "never retrieved", "exception": ConnectionError("hunter2")}
        )

    async with open_asyncio(clean_up=5) as there:
        await there.run(work)

    # What an earlier test left pending may be told of as well.
    assert "asyncio: never retrieved (ConnectionError)" in caplog.messages
    assert "hunter2" not in caplog.text
