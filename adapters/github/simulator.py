"""GitHub as a state machine: what its REST API does with the requests of our plans, and how it fails.

It behaves like the documented API where our plans can notice: credentials, rate limits, validation, redirects of
renamed repositories, ``since``, pages, ETags, ids that count up. Time comes from the caller.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlsplit

from attrs import evolve

from adapters.contract import Headers, Request, Response
from adapters.errors import PayloadError
from adapters.faults import Fault, failing
from adapters.github import routes, simulator_controls as controls, simulator_endpoints
from adapters.github.simulator_apps import AppServer
from adapters.github.simulator_deliveries import DeliveryLog
from adapters.github.simulator_history import History
from adapters.github.simulator_hooks import HookShelf
from adapters.github.simulator_login import LoginServer
from adapters.github.simulator_permissions import refusal
from adapters.github.world import Allowance, Token, World, told
from adapters.simulation import CONTROL, Reply, Seen, Stage, as_json

_VERSIONS = ("2022-11-28", "2026-03-10")


def secondary_limit(*, retry_after_s: int | None = 60, times: int = 1, status: int = 403) -> Fault:
    """GitHub's secondary rate limit: nothing is done; it may not say for how long."""
    headers = () if retry_after_s is None else (("retry-after", str(retry_after_s)),)
    document = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}
    return evolve(
        failing(status, times=times), response=as_json(status, document, headers=headers)
    )


class GitHub:
    """The simulated service. ``world`` is its memory, open to tests; ``base_url`` is where it is served."""

    def __init__(
        self,
        *,
        base_url: str = "https://api.github.com",
        tokens: tuple[Token, ...] = (),
        hourly_limit: int = 5_000,
    ) -> None:
        """Start an empty GitHub that knows these tokens."""
        self.world = World(tokens=list(tokens))
        self._base_url = base_url
        self._hourly_limit = hourly_limit
        self._allowances: dict[bytes, Allowance] = {}
        self.login_server = LoginServer(world=self.world)
        self.app_server = AppServer(world=self.world)
        self.hook_shelf = HookShelf()
        self.delivery_log = DeliveryLog(shelf=self.hook_shelf, world=self.world)
        self.history = History(world=self.world, log=self.delivery_log)
        self._scene = controls.Scene(
            login=self.login_server, apps=self.app_server, hooks=self.hook_shelf
        )
        self._stage = Stage(self._perform)

    @property
    def seen(self) -> tuple[Seen, ...]:
        """The requests it saw, without credentials, oldest first."""
        return self._stage.seen

    def plan(self, *faults: Fault) -> None:
        """Plan faults for the requests to come."""
        self._stage.plan(*faults)

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer a request: the API, or the control under ``/_sim/``."""
        if urlsplit(request.url).path.startswith(CONTROL):
            return Reply(response=self._control(request, now))
        return self._stage.handle(request, now=now)

    def comments(self, repository: str, number: int, *, now: datetime) -> tuple[str, ...]:
        """The comments on an issue or pull request at ``now``, late ones whose time has come included."""
        self._stage.settle(now)
        found = self.world.named(repository)
        listed = found.comments.get(number, []) if found else []
        return tuple(comment["body"] for comment in listed)

    def issues(self, repository: str, *, now: datetime) -> tuple[str, ...]:
        """The titles of all issues and pull requests of a repository at ``now``."""
        self._stage.settle(now)
        found = self.world.named(repository)
        return tuple(item["title"] for item in found.issues.values()) if found else ()

    def _control(self, request: Request, now: datetime) -> Response:
        url = urlsplit(request.url)
        query = dict(parse_qsl(url.query))
        match request.method, url.path:
            case "GET", "/_sim/comments":
                number = query.get("number", "")
                if not number.isdecimal():
                    return as_json(400, {"message": "number must be a whole number"})
                bodies = self.comments(query.get("repository", ""), int(number), now=now)
                return as_json(200, {"count": len(bodies), "comments": bodies})
            case "GET", "/_sim/issues":
                titles = self.issues(query.get("repository", ""), now=now)
                return as_json(200, {"count": len(titles), "issues": titles})
            case "GET", "/_sim/repository":
                self._stage.settle(now)
                found = self.world.named(query.get("repository", ""))
                return as_json(200, told(found)) if found else routes.not_found()
            case _:
                return (
                    self.history.answer(request, now=now)
                    or controls.answer(self._scene, request, now=now)
                    or self._stage.control(request)
                )

    def _perform(self, request: Request, now: datetime) -> Response:
        now += self.history.ahead
        own = self.login_server.answer(request, now=now) or self.app_server.answer(
            request, path=self._path(request), now=now
        )
        return own or self._limited(request, now)

    def _limited(self, request: Request, now: datetime) -> Response:
        token = self._token(request, now)
        allowance = self._allowances.setdefault(
            token.secret.value if token else b"", Allowance(limit=self._hourly_limit)
        )
        path = self._path(request)
        allowed = allowance.spend(now)
        response = self._answer(request, path, token, now) if allowed else _exhausted()
        if response.status == 200 and request.method == "GET":
            response = _unless_known(response, request)
            # What has not changed costs nothing.
            allowance.used -= response.status == 304
        return evolve(response, headers=(*response.headers, *_standing(allowance, token, now)))

    def _answer(self, request: Request, path: str, token: Token | None, now: datetime) -> Response:
        if request.header("user-agent") is None:
            return as_json(403, {"message": "Request forbidden by administrative rules."})
        if request.header("x-github-api-version") not in (None, *_VERSIONS):
            return as_json(400, {"message": "The requested API version is not supported."})
        if token is None:
            return as_json(401, {"message": "Bad credentials"})
        call = routes.Call(
            world=self.world,
            token=token,
            request=evolve(request, url=path),
            query=dict(parse_qsl(urlsplit(request.url).query)),
            root=self._root(request),
            now=now,
        )
        try:
            return (
                refusal(call)
                or self.hook_shelf.answer(call)
                or self.delivery_log.answer(call)
                or simulator_endpoints.answer(call)
            )
        except PayloadError as error:
            return as_json(400, {"message": "Problems parsing JSON", "detail": str(error)})

    def _token(self, request: Request, now: datetime) -> Token | None:
        given = (request.header("authorization") or "").partition(" ")
        if given[0].lower() not in ("bearer", "token"):
            return None
        sent = given[2].encode("latin-1", errors="replace")
        fitting = (one for one in self.world.tokens if one.secret.value == sent)
        return next(
            (one for one in fitting if one.expires_at is None or now < one.expires_at), None
        )

    def _path(self, request: Request) -> str:
        return urlsplit(request.url).path.removeprefix(urlsplit(self._base_url).path.rstrip("/"))

    def _root(self, request: Request) -> str:
        """Where links in the answer lead: to the host that was asked, which a test may serve anywhere."""
        base, host = urlsplit(self._base_url), request.header("host")
        if host is None or host == base.netloc:
            return self._base_url.rstrip("/")
        return f"http://{host}{base.path.rstrip('/')}"


def _unless_known(response: Response, request: Request) -> Response:
    """The answer with its ETag, or 304 where the caller has it."""
    mark = f'W/"{hashlib.sha256(response.body).hexdigest()}"'
    if request.header("if-none-match") == mark:
        return Response(status=304, headers=(("etag", mark),))
    return evolve(response, headers=(*response.headers, ("etag", mark)))


def _exhausted() -> Response:
    return as_json(403, {"message": "API rate limit exceeded for user ID 1."})


def _standing(allowance: Allowance, token: Token | None, now: datetime) -> Headers:
    reset = allowance.reset or now
    headers = [
        ("date", format_datetime(now, usegmt=True)),
        ("x-ratelimit-limit", str(allowance.limit)),
        ("x-ratelimit-remaining", str(allowance.limit - allowance.used)),
        ("x-ratelimit-used", str(allowance.used)),
        ("x-ratelimit-reset", str(int(reset.timestamp()))),
        ("x-ratelimit-resource", "core"),
    ]
    if token is not None and token.scopes is not None:
        headers.append(("x-oauth-scopes", ", ".join(token.scopes)))
    return tuple(headers)
