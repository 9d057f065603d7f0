"""The load: distinct signed deliveries over so many kept connections, each the next as soon as the last is answered.

``python -m benchmarks.load`` reads one ``Load`` as JSON from standard input and writes one ``Seen`` as JSON. It is
made of plain sockets and a selector, so that it costs the machine a small part of what any server costs.
"""

from __future__ import annotations

import hashlib
import hmac
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from attrs import Factory, asdict, define, field, frozen

from adapters.github.samples import sample

_NUMBER = 123_456_789
_PATIENCE_S = 30.0
_HEAD_END = b"\r\n\r\n"
_LINKS = [
    "archive",
    "assignees",
    "blobs",
    "branches",
    "collaborators",
    "comments",
    "commits",
    "compare",
    "contents",
    "contributors",
    "deployments",
    "downloads",
    "events",
    "forks",
    "git_commits",
    "git_refs",
    "git_tags",
    "hooks",
    "issue_comment",
    "issue_events",
    "issues",
    "labels",
    "languages",
    "merges",
    "milestones",
    "notifications",
    "pulls",
    "releases",
    "stargazers",
    "statuses",
    "subscribers",
    "subscription",
    "tags",
    "teams",
    "trees",
]


@frozen(kw_only=True)
class Load:
    """What to send: deliveries ``first`` to ``first + count - 1`` to ``url``, over ``connections`` at once."""

    url: str
    secret: str
    first: int
    count: int
    connections: int


@frozen(kw_only=True)
class Seen:
    """What came back: how often each status, the time of it all, and the time of each answer in ascending order."""

    statuses: dict[str, int]
    seconds: float
    latencies_s: list[float]


@define(eq=False)
class _Line:
    """One connection: when its request went out, and what came back of the answer so far."""

    link: socket.socket
    sent_at: float = 0.0
    heard: bytearray = field(factory=bytearray)


def template() -> bytes:
    """A pull request as GitHub sends one, in shape and size (some 14 KB), with a number to replace."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    document: dict[str, Any] = orjson.loads(sample("pull_request.opened", _NUMBER, at=at))
    repository = document["repository"] | _urls(document["repository"]["full_name"])
    document["repository"] = repository
    pull_request = document["pull_request"]
    for side in ("head", "base"):
        pull_request[side] |= {"repo": repository, "user": pull_request["user"]}
    pull_request["body"] = "What it does, why, and how it was tried. " * 40
    return orjson.dumps(document)


def _urls(full_name: str) -> dict[str, str]:
    root = f"https://api.github.com/repos/{full_name}"
    return {f"{name}_url": f"{root}/{name}{{/number}}" for name in _LINKS}


def event_id(number: int) -> str:
    """The id that GitHub would give the delivery of this number."""
    return f"00000000-0000-4000-8000-{number:012x}"


def requests(load: Load) -> Iterator[bytes]:
    """The requests as bytes; the same numbers make the same bodies."""
    place = urlsplit(load.url)
    shape, secret = template(), load.secret.encode()
    for number in range(load.first, load.first + load.count):
        body = shape.replace(str(_NUMBER).encode(), str(_NUMBER + number).encode())
        head = (
            f"POST {place.path} HTTP/1.1",
            f"host: {place.netloc}",
            "user-agent: GitHub-Hookshot/5a1e2d0",
            "accept: */*",
            "content-type: application/json",
            "x-github-hook-id: 1",
            "x-github-event: pull_request",
            f"x-github-delivery: {event_id(number)}",
            f"x-hub-signature-256: sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}",
            f"content-length: {len(body)}",
        )
        yield "\r\n".join(head).encode() + _HEAD_END + body


@define(eq=False)
class _Run:
    """One run: what is still to send, and what was seen."""

    waiting: Iterator[bytes]
    seen: dict[str, int] = Factory(dict)
    latencies: list[float] = Factory(list)

    def send_next(self, line: _Line) -> bool:
        """Send one more on this connection; False if there is none."""
        request = next(self.waiting, None)
        if request is None:
            return False
        line.heard.clear()
        line.sent_at = time.perf_counter()
        line.link.sendall(request)
        return True

    def hear(self, line: _Line) -> bool:
        """Take in what came; True if the answer is whole."""
        chunk = line.link.recv(65_536)
        if not chunk:
            raise ConnectionError("the server hung up")
        line.heard += chunk
        if not _is_whole(line.heard):
            return False
        self.latencies.append(time.perf_counter() - line.sent_at)
        status = line.heard.split(b" ", 2)[1].decode()
        self.seen[status] = self.seen.get(status, 0) + 1
        return True


def _is_whole(heard: bytearray) -> bool:
    head, end, body = heard.partition(_HEAD_END)
    if not end:
        return False
    _, _, rest = head.lower().partition(b"content-length:")
    return len(body) >= int(rest.split(b"\r\n", 1)[0])


def perform(load: Load) -> Seen:
    """Send it all; the requests are made before the clock starts.

    Raises:
        OSError: the server hung up or did not answer for 30 seconds.
    """
    place, ready = urlsplit(load.url), list(requests(load))
    run = _Run(iter(ready))
    with selectors.DefaultSelector() as selector:
        lines = [
            _connected(place.hostname or "", place.port or 80) for _ in range(load.connections)
        ]
        started = time.perf_counter()
        for line in lines:
            if run.send_next(line):
                selector.register(line.link, selectors.EVENT_READ, line)
        _converse(selector, run)
        seconds = time.perf_counter() - started
        for line in lines:
            line.link.close()
    return Seen(statuses=run.seen, seconds=seconds, latencies_s=sorted(run.latencies))


def _connected(host: str, port: int) -> _Line:
    link = socket.create_connection((host, port), timeout=_PATIENCE_S)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _Line(link)


def _converse(selector: selectors.BaseSelector, run: _Run) -> None:
    while selector.get_map():
        answered = selector.select(_PATIENCE_S)
        if not answered:
            raise TimeoutError("no answer from the server")
        for key, _ in answered:
            line: _Line = key.data
            if run.hear(line) and not run.send_next(line):
                selector.unregister(line.link)


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(asdict(perform(Load(**orjson.loads(sys.stdin.read()))))))
