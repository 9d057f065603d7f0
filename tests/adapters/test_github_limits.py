"""What GitHub says of its limits, and that it is waited out in full."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapters.capabilities import Allowance, Allowances
from adapters.contract import Headers, Later, Request, Response
from adapters.github import ADAPTER, meaning
from tests.adapters.wire import NOW, TOKEN, Wire

SAID = {
    "x-ratelimit-resource": "core",
    "x-ratelimit-remaining": "4999",
    "x-ratelimit-reset": str(int(NOW.timestamp())),
}
DATE = ("date", "Sun, 01 Mar 2026 12:00:00 GMT")
WRITE = Request(method="POST", url="/x", writes=True)


def answer(status: int, *headers: tuple[str, str]) -> Response:
    return Response(status=status, headers=headers)


def test_the_adapter_reads_allowances_of_limits_that_its_manifest_names() -> None:
    told = ADAPTER.allowance(Response(status=200, headers=tuple(SAID.items())))

    assert isinstance(ADAPTER, Allowances)
    assert told == Allowance(name="core", remaining=4_999, resets_at=NOW)
    assert told.name in {limit.name for limit in ADAPTER.manifest.limits}


@pytest.mark.parametrize(
    "changes",
    [
        {"x-ratelimit-resource": "search"},
        {"x-ratelimit-resource": ""},
        {"x-ratelimit-remaining": "many"},
        {"x-ratelimit-remaining": "-1"},
        {"x-ratelimit-reset": ""},
        {"x-ratelimit-reset": "9" * 12},
        {"x-ratelimit-reset": "٣"},
    ],
)
def test_what_is_not_said_readably_of_our_limit_is_no_allowance(changes: dict[str, str]) -> None:
    assert (
        ADAPTER.allowance(Response(status=200, headers=tuple({**SAID, **changes}.items()))) is None
    )


def test_the_simulated_github_counts_down() -> None:
    wire = Wire()
    headers: Headers = (("authorization", f"Bearer {TOKEN.value.decode()}"), ("user-agent", "t"))
    told = []
    for _ in range(3):
        reply = wire.github.handle(
            Request(method="GET", url="/repos/acme/rocket", headers=headers), now=NOW
        )
        assert reply.response
        told.append(ADAPTER.allowance(reply.response))

    full_again = NOW + timedelta(hours=1)
    assert told == [
        Allowance(name="core", remaining=left, resets_at=full_again)
        for left in (4_999, 4_998, 4_997)
    ]


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((("retry-after", "754"),), 754),
        ((("retry-after", "Sun, 01 Mar 2026 12:20:00 GMT"), DATE), 1_200),
        ((("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1772368800"), DATE), 2_400),
        (
            (
                ("retry-after", "60"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1772368800"),
                DATE,
            ),
            2_400,
        ),
        ((("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1772368800")), 60),
        ((("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1"), DATE), 1),
    ],
)
def test_the_longest_wish_is_honoured_in_full(status: int, headers: Headers, seconds: int) -> None:
    ending = meaning.ending(answer(status, *headers), request=WRITE)

    assert isinstance(ending, Later)
    assert ending.retry_after == timedelta(seconds=seconds)
    assert not ending.maybe_sent
