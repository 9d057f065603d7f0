"""From a name to a socket: each connect looks the name up once, judges all it is told, and goes nowhere else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable

import httpcore
import pytest
import trio

from actors.errors import RouteError
from actors.resolution import CheckedBackend, check_resolution, system_look_up
from tests.fakes.names import Names

PUBLIC = "8.8.8.8"
ALSO_PUBLIC = "2606:4700::1111"


class Sockets(httpcore.AsyncNetworkBackend):
    """Where it was told to connect to, and for how long it would have tried."""

    def __init__(self, **troubles: Exception) -> None:
        self.tried: list[tuple[str, int, float | None]] = []
        self._troubles = {host.replace("_", "."): trouble for host, trouble in troubles.items()}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.tried.append((host, port, timeout))
        trouble = self._troubles.get(host)
        if isinstance(trouble, httpcore.ConnectTimeout):
            await trio.sleep(timeout or 0)
        await trio.lowlevel.checkpoint()
        if trouble is not None:
            raise trouble
        return httpcore.AsyncMockStream([])


def checked(names: Names, sockets: Sockets, *, development: bool = False) -> CheckedBackend:
    return CheckedBackend(names.look_up, sockets, development=development)


async def test_a_name_is_resolved_once_and_the_socket_leads_to_what_was_judged():
    names, sockets = Names({"gitlab.test": [(PUBLIC, ALSO_PUBLIC)]}), Sockets()

    await checked(names, sockets).connect_tcp("gitlab.test", 8443, timeout=5.0)

    assert [entry[:2] for entry in sockets.tried] == [(PUBLIC, 8443)]
    assert names.asked == ["gitlab.test"]


@pytest.mark.parametrize(
    "answer",
    [
        ("10.0.0.1",),
        (PUBLIC, "10.0.0.1"),
        ("169.254.169.254", PUBLIC),
        (PUBLIC, "127.0.0.1"),
        (PUBLIC, "::1"),
        (PUBLIC, ALSO_PUBLIC, "64:ff9b::a00:1"),
        (PUBLIC, "::ffff:10.0.0.1"),
        (PUBLIC, "fe80::1%eth0"),
    ],
)
async def test_sec_one_address_that_is_not_public_spoils_them_all(answer):
    sockets = Sockets()

    with pytest.raises(RouteError, match="not public") as refused:
        await checked(Names({"gitlab.test": [answer]}), sockets).connect_tcp("gitlab.test", 443)

    assert sockets.tried == []
    assert all(address not in str(refused.value) for address in answer)


async def test_sec_a_name_that_changes_its_mind_is_caught_at_the_next_connect():
    """DNS rebinding: what was public at the first look is private at the second."""
    names, sockets = Names({"gitlab.test": [(PUBLIC,), ("10.0.0.1",)]}), Sockets()
    backend = checked(names, sockets)
    await backend.connect_tcp("gitlab.test", 443, timeout=5.0)

    with pytest.raises(RouteError):
        await backend.connect_tcp("gitlab.test", 443, timeout=5.0)

    assert [entry[0] for entry in sockets.tried] == [PUBLIC]


async def test_sec_loopback_is_for_development_only():
    answer = {"localhost": [("::1", "127.0.0.1")]}
    sockets = Sockets()

    await checked(Names(answer), sockets, development=True).connect_tcp("localhost", 80)
    with pytest.raises(RouteError):
        await checked(Names(answer), sockets).connect_tcp("localhost", 80)

    assert sockets.tried == [("::1", 80, float("inf"))]


async def test_the_addresses_are_tried_in_turn_each_for_its_share_of_the_time(autojump_clock):
    """One that swallows packets does not take the time of the next."""
    names = Names({"gitlab.test": [("1.1.1.1", "1.1.1.2", PUBLIC)]})
    sockets = Sockets(
        **{
            "1_1_1_1": httpcore.ConnectTimeout(),
            "1_1_1_2": httpcore.ConnectError(),
        }
    )

    await checked(names, sockets).connect_tcp("gitlab.test", 443, timeout=6.0)

    assert [entry[0] for entry in sockets.tried] == ["1.1.1.1", "1.1.1.2", PUBLIC]
    assert [entry[2] for entry in sockets.tried] == pytest.approx([2.0, 2.0, 4.0])


async def test_when_no_address_answers_the_last_failure_is_told():
    names = Names({"gitlab.test": [("1.1.1.1", "1.1.1.2")]})
    sockets = Sockets(
        **{
            "1_1_1_1": httpcore.ConnectTimeout("first"),
            "1_1_1_2": httpcore.ConnectError("last"),
        }
    )

    with pytest.raises(httpcore.ConnectError, match="last"):
        await checked(names, sockets).connect_tcp("gitlab.test", 443, timeout=0.1)


async def test_the_tries_are_bounded():
    """P7: a name may have as many addresses as its owner likes."""
    many = tuple(f"1.1.1.{last}" for last in range(1, 10))
    sockets = Sockets(**{one.replace(".", "_"): httpcore.ConnectError() for one in many})

    with pytest.raises(httpcore.ConnectError):
        await checked(Names({"a.test": [many]}), sockets).connect_tcp("a.test", 443, timeout=1.0)

    assert len(sockets.tried) == 4


async def test_a_look_up_has_a_deadline_and_its_time_is_the_connect_s(autojump_clock):
    """P7, P4: it was certainly not sent."""
    names, sockets = Names({"slow.test": [(PUBLIC,)]}, wait=3.0), Sockets()

    await checked(names, sockets).connect_tcp("slow.test", 443, timeout=5.0)
    with pytest.raises(httpcore.ConnectTimeout):
        await checked(names, sockets).connect_tcp("slow.test", 443, timeout=2.5)

    assert [entry[2] for entry in sockets.tried] == [pytest.approx(2.0)]


@pytest.mark.parametrize("answer", [(), socket.gaierror(socket.EAI_NONAME, "no such name")])
async def test_a_name_without_addresses_can_not_be_connected_to(answer):
    with pytest.raises(httpcore.ConnectError):
        await checked(Names({"gone.test": [answer]}), Sockets()).connect_tcp("gone.test", 443)


async def test_what_a_name_leads_to_is_told_early():
    names = Names(
        {
            "good.test": [(PUBLIC,)],
            "bad.test": [("10.0.0.1",)],
            "none.test": [socket.gaierror(socket.EAI_NONAME, "")],
            "empty.test": [socket.gaierror(socket.EAI_NODATA, "")],
        }
    )

    await check_resolution("https://good.test:8443/x", names.look_up, development=False)
    for host, said in (
        ("bad.test", "not public"),
        ("none.test", "does not exist"),
        ("empty.test", "does not exist"),
    ):
        with pytest.raises(RouteError, match=said):
            await check_resolution(f"https://{host}", names.look_up, development=False)


async def test_nothing_is_said_early_of_a_name_that_can_not_be_resolved_now(autojump_clock):
    """A name server that is away for a minute makes no connection wrong; the connect will look again."""
    away = Names({"away.test": [socket.gaierror(socket.EAI_AGAIN, "")]})
    slow = Names({"slow.test": [("10.0.0.1",)]}, wait=60.0)
    begun = trio.current_time()

    await check_resolution("https://away.test", away.look_up, development=False)
    await check_resolution("https://slow.test", slow.look_up, development=False)

    assert trio.current_time() - begun == pytest.approx(5.0)


async def test_the_machine_s_resolver_reads_literals_and_knows_itself():
    look_up = system_look_up()

    assert await look_up("8.8.8.8") == ("8.8.8.8",)
    assert await look_up("2606:4700::1111") == ("2606:4700::1111",)
    assert set(await look_up("localhost")) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.0.0.1", "017700000001"])
async def test_sec_other_ways_to_write_loopback_are_judged_as_loopback(host):
    sockets = Sockets()

    with pytest.raises(RouteError):
        await CheckedBackend(system_look_up(), sockets, development=False).connect_tcp(host, 80)

    assert sockets.tried == []


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test", "." * 300])
async def test_a_name_that_can_not_be_is_one_without_addresses(host):
    with pytest.raises(OSError):  # noqa: PT011
        await system_look_up()(host)


async def test_a_slow_name_server_holds_up_nothing_but_look_ups(monkeypatch):
    """P7: its look-ups can be given up though they can not be cancelled, and take no thread from others."""
    answering, asked = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def slow(*_: object, **__: object) -> list[object]:
        token.run_sync_soon(asked.set)
        answering.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    look_up = system_look_up(threads=1)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look_up, "slow.test")
            await asked.wait()

            assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
            with trio.move_on_after(0.01) as waiting:
                await look_up("other.test")
            nursery.cancel_scope.cancel()
    finally:
        answering.set()

    assert waiting.cancelled_caught
