"""Credentials of GitHub, and what the probe says of them; the doors of the simulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from adapters.contract import Done, Later, NeedsLogin, Outcome, Refused, Request, Response, Secret
from adapters.faults import failing, rate_limited
from adapters.github import ADAPTER, meaning
from adapters.github.requests import HEADERS
from adapters.github.simulator import GitHub, secondary_limit
from adapters.github.world import Token
from adapters.paging import next_url
from tests.fakes.plans import carry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = Secret(value=b"tok\xe9n")


def probe(github: GitHub, settings: bytes = b"{}", *, granted: tuple[str, ...] = ()) -> Outcome:
    def send(request: Request) -> Response:
        assert not request.writes
        reply = github.handle(ADAPTER.authorise(request, token=SECRET), now=NOW)
        assert reply.response is not None
        return reply.response

    return carry(ADAPTER.probe(settings, granted=granted), send)


def found(outcome: Outcome) -> Any:
    assert isinstance(outcome, Done), outcome
    return orjson.loads(outcome.details)


TARGETS = b'{"repositories": ["acme/rocket", "acme/pad"], "organization": "initech"}'
ACTIONS = (
    "checks:write",
    "issues:write",
    "metadata:read",
    "pull_requests:write",
    "statuses:write",
)


def github_with(token: Token) -> GitHub:
    github = GitHub(tokens=(token,))
    for name in ("acme/rocket", "acme/pad"):
        github.world.add_repository(name)
    github.hook_shelf.organizations.add("initech")
    return github


@pytest.mark.parametrize(
    ("token", "kind", "verdict"),
    [
        (Token(secret=SECRET, scopes=("repo", "gist")), "classic", "granted"),
        (Token(secret=SECRET, scopes=("public_repo",)), "classic", "unknown"),
        (Token(secret=SECRET, scopes=()), "classic", "missing"),
        (Token(secret=SECRET), "fine_grained", "unknown"),
        (Token(secret=SECRET, login=None), "installation", "unknown"),
    ],
)
def test_the_probe_says_what_each_kind_of_token_allows(
    token: Token, kind: str, verdict: str
) -> None:
    """Check runs are made by apps alone, whatever the scopes."""
    checks = "missing" if kind == "classic" else "unknown"

    assert found(probe(GitHub(tokens=(token,)))) == {
        "kind": kind,
        "account": token.login,
        "permissions": {**dict.fromkeys(ACTIONS, verdict), "checks:write": checks},
        "targets": {},
    }


@pytest.mark.parametrize(
    ("scopes", "repository", "organization", "statuses"),
    [
        (("repo", "admin:org_hook"), "granted", "granted", "granted"),
        (("repo",), "granted", "missing", "granted"),
        (("admin:repo_hook", "repo:status"), "granted", "missing", "granted"),
        (("write:repo_hook",), "missing", "missing", "missing"),
        (("admin:org_hook",), "missing", "granted", "missing"),
        ((), "missing", "missing", "missing"),
    ],
)
def test_the_scopes_tell_of_webhooks_where_they_are_to_be_registered(
    scopes: tuple[str, ...], repository: str, organization: str, statuses: str
) -> None:
    said = found(probe(github_with(Token(secret=SECRET, scopes=scopes)), TARGETS))

    assert said["permissions"]["repository_hooks:write"] == repository
    assert said["permissions"]["organization_hooks:write"] == organization
    assert said["permissions"]["statuses:write"] == statuses
    assert said["targets"] == {
        "initech": organization,
        "acme/rocket": repository,
        "acme/pad": repository,
    }


def test_public_repositories_scope_leaves_open_whether_they_are_public() -> None:
    said = found(probe(github_with(Token(secret=SECRET, scopes=("public_repo",))), TARGETS))

    assert said["permissions"]["repository_hooks:write"] == "unknown"
    assert said["permissions"]["organization_hooks:write"] == "missing"


def test_one_target_out_of_reach_is_named_though_the_scope_is_there() -> None:
    github = github_with(Token(secret=SECRET, scopes=("repo",)))

    said = found(probe(github, b'{"repositories": ["acme/rocket", "acme/none"]}'))

    assert said["targets"] == {"acme/rocket": "granted", "acme/none": "missing"}
    assert said["permissions"]["repository_hooks:write"] == "missing"


@pytest.mark.parametrize(
    ("permissions", "missing"),
    [
        (("issues:read", "pull_requests:read", "repository_hooks:read"), set()),
        (("issues:write", "repository_hooks:write"), {"pull_requests:write"}),
        (("pull_requests:write",), {"issues:write", "repository_hooks:write"}),
        ((), {"issues:write", "pull_requests:write", "repository_hooks:write"}),
    ],
)
def test_of_a_fine_grained_token_only_what_it_lacks_can_be_found(
    permissions: tuple[str, ...], missing: set[str]
) -> None:
    token = Token(secret=SECRET, permissions=permissions)

    said = found(probe(github_with(token), b'{"repositories": ["acme/rocket"]}'))

    assert said["kind"] == "fine_grained"
    assert {name for name, told in said["permissions"].items() if told == "missing"} == missing
    assert "granted" not in said["permissions"].values()


@pytest.mark.parametrize("login", [None, "ada"])
def test_what_the_grant_said_counts_where_the_token_says_nothing(login: str | None) -> None:
    """An installation's grant lists its permissions; a higher level includes the lower."""
    held = ("issues:write", "metadata:admin", "pull_requests:read", "repository_hooks:write", "x")
    token = Token(secret=SECRET, login=login, permissions=held[:4])

    said = found(probe(github_with(token), b'{"repositories": ["acme/rocket"]}', granted=held))

    assert said["permissions"] == {
        "checks:write": "missing",
        "issues:write": "granted",
        "metadata:read": "granted",
        "pull_requests:write": "missing",
        "repository_hooks:write": "granted",
        "statuses:write": "missing",
    }


def test_scopes_that_come_empty_beside_permissions_are_not_those_of_a_classic_token() -> None:
    plan = ADAPTER.probe(granted=("repo",))
    next(plan)
    headers = (("x-oauth-scopes", ""), ("x-accepted-github-permissions", "allows_permissionless"))

    with pytest.raises(StopIteration) as ended:
        plan.send(Response(status=200, headers=headers, body=b'{"login": 7}'))

    said = found(ended.value.value)
    assert (said["kind"], said["account"]) == ("fine_grained", None)
    assert set(said["permissions"].values()) == {"unknown"}


@pytest.mark.parametrize(
    ("fault", "ending"),
    [(failing(401, path="/hooks"), NeedsLogin), (failing(500, path="/hooks"), Later)],
)
def test_a_trial_that_says_nothing_of_permissions_ends_the_probe(fault: Any, ending: Any) -> None:
    github = github_with(Token(secret=SECRET, scopes=("repo",)))
    github.plan(fault)

    assert isinstance(probe(github, TARGETS), ending)


def test_a_read_that_has_nothing_to_read_leaves_it_unknown() -> None:
    github = github_with(Token(secret=SECRET))
    github.plan(failing(410, path="/issues"))

    said = found(probe(github, b'{"repositories": ["acme/rocket"]}'))

    assert said["permissions"]["issues:write"] == "unknown"


def test_of_very_many_targets_the_first_are_tried() -> None:
    github = github_with(Token(secret=SECRET, scopes=("repo",)))
    names = [f"acme/r{n}" for n in range(100)]

    said = found(probe(github, orjson.dumps({"repositories": names})))

    assert list(said["targets"]) == names[:10]
    assert len(github.seen) == 11


def test_settings_that_can_not_be_read_are_refused_before_anything_is_asked() -> None:
    github = GitHub()

    outcome = probe(github, b'{"repositories": ["rocket"]}')

    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("settings.repositories[0]: ")
    assert github.seen == ()


def test_the_probe_of_a_dead_token_needs_a_login() -> None:
    assert isinstance(probe(GitHub()), NeedsLogin)


@pytest.mark.parametrize(
    "fault", [secondary_limit(), rate_limited(timedelta(seconds=5)), failing(500)]
)
def test_a_probe_that_got_no_verdict_is_repeated_later(fault: Any) -> None:
    github = GitHub(tokens=(Token(secret=SECRET),))
    github.plan(fault)

    assert isinstance(probe(github), Later)
    assert len(github.seen) == 1


def test_a_token_that_opens_nothing_is_refused() -> None:
    github = GitHub(tokens=(Token(secret=SECRET),))
    github.plan(failing(403, times=2))

    assert isinstance(probe(github), Refused)


def test_an_unreadable_answer_still_proves_the_token() -> None:
    plan = ADAPTER.probe()
    next(plan)

    with pytest.raises(StopIteration) as ended:
        plan.send(Response(status=200, body=b"<html>"))

    assert isinstance(ended.value.value, Done)


def test_credentials_are_added_once_and_shown_nowhere() -> None:
    """P8."""
    twice = ADAPTER.authorise(
        ADAPTER.authorise(Request(method="GET", url="/user", headers=HEADERS), token=SECRET),
        token=Secret(value=b"newer"),
    )

    assert [value for name, value in twice.headers if name == "authorization"] == ["Bearer newer"]
    assert twice.header("user-agent")
    assert "newer" not in repr(Secret(value=b"newer"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"message":"No.","errors":["plain"]}', "No."),
        (b'{"message":"No.","errors":"plain"}', "No."),
        (b'{"errors":[{"field":"title","code":"missing"}]}', "(title missing)"),
        (b'{"message":7}', ""),
        (b"<html>", ""),
        (b'{"message":"a\\n  b"}', "a b"),
    ],
)
def test_what_github_says_is_told_in_one_line(body: bytes, said: str) -> None:
    assert meaning.message(Response(status=422, body=body)).strip() == said


def test_a_long_message_is_cut() -> None:
    said = meaning.message(Response(status=422, body=orjson.dumps({"message": "m" * 9_999})))

    assert len(said) == 300


@pytest.mark.parametrize("reset", ["", "soon", "9" * 40])
def test_an_unreadable_reset_waits_a_minute(reset: str) -> None:
    limited = Response(
        status=403,
        headers=(
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", reset),
            ("date", "Sun, 01 Mar 2026 12:00:00 GMT"),
        ),
    )

    outcome = meaning.ending(limited, request=Request(method="GET", url="/"))

    assert outcome == Later(reason="403: rate limited", retry_after=timedelta(seconds=60))


def call(github: GitHub, method: str, url: str, **headers: str) -> tuple[Response, Any]:
    given = {"user-agent": "t", "authorization": "Bearer tok", **headers}
    body = headers.pop("body", given.pop("body", "")).encode()
    reply = github.handle(
        Request(
            method=method,
            url=url,
            headers=tuple((name.replace("_", "-"), value) for name, value in given.items()),
            body=body,
        ),
        now=NOW,
    )
    assert reply.response is not None
    return reply.response, orjson.loads(reply.response.body)


@pytest.fixture
def github() -> GitHub:
    github = GitHub(tokens=(Token(secret=Secret(value=b"tok")),))
    repository = github.world.add_repository("acme/rocket")
    for n in range(45):
        at = NOW + timedelta(minutes=n)
        github.world.add_issue(repository, title=f"t{n}", author="ada", now=at, is_pr=n % 2 == 0)
    github.world.add_comment(repository, 1, body="first", author="ada", now=NOW)
    return github


@pytest.mark.parametrize(
    ("method", "url", "headers", "status"),
    [
        ("GET", "/repos/acme/rocket", {}, 200),
        ("GET", "/repos/ACME/Rocket/issues/1", {}, 200),
        ("GET", "/repositories/1000001/issues/1", {}, 200),
        ("GET", "/repos/acme/rocket/issues/99", {}, 404),
        ("GET", "/repos/acme/rocket/issues/99/comments", {}, 404),
        ("GET", "/repos/acme/other", {}, 404),
        ("GET", "/repositories/7", {}, 404),
        ("GET", "/repos/acme/rocket/secrets", {}, 404),
        ("GET", "/nothing", {}, 404),
        ("DELETE", "/repos/acme/rocket", {}, 404),
        ("GET", "/user", {"authorization": "Basic x"}, 401),
        ("GET", "/user", {"authorization": "token tok"}, 200),
        ("GET", "/user", {"x_github_api_version": "1999-01-01"}, 400),
        ("GET", "/user", {"x_github_api_version": "2022-11-28"}, 200),
        ("GET", "/installation/repositories", {}, 403),
        ("POST", "/repos/acme/rocket/issues", {"body": "{"}, 400),
        ("POST", "/repos/acme/rocket/issues", {"body": "{}"}, 422),
        ("POST", "/repos/acme/rocket/issues", {"body": '{"title":"t","body":7}'}, 422),
        ("POST", "/repos/acme/rocket/issues", {"body": '{"title":"t"}'}, 201),
        ("POST", "/repos/acme/rocket/issues/1/comments", {"body": '{"body":" "}'}, 422),
        ("POST", "/repos/acme/rocket/issues/99/comments", {"body": '{"body":"x"}'}, 404),
    ],
)
def test_the_simulated_github_answers_as_documented(
    github: GitHub, method: str, url: str, headers: dict[str, str], status: int
) -> None:
    response, _ = call(github, method, url, **headers)

    assert response.status == status
    assert response.header("x-ratelimit-remaining") == "4999"
    assert response.header("date") == "Sun, 01 Mar 2026 12:00:00 GMT"


def test_a_request_without_user_agent_is_turned_away(github: GitHub) -> None:
    reply = github.handle(Request(method="GET", url="/user"), now=NOW)

    assert reply.response is not None
    assert reply.response.status == 403


def test_a_token_that_may_only_read_is_told_what_is_missing() -> None:
    github = GitHub(tokens=(Token(secret=Secret(value=b"tok"), writes=False),))
    github.world.add_repository("acme/rocket")

    response, _ = call(github, "POST", "/repos/acme/rocket/issues", body='{"title":"t"}')

    assert response.status == 403
    assert response.header("x-accepted-github-permissions")


def test_lists_come_in_pages_that_link_to_the_next(github: GitHub) -> None:
    url: str | None = "/repos/acme/rocket/issues?state=all&per_page=20&direction=asc"
    numbers: list[int] = []
    while url is not None:
        response, page = call(github, "GET", url)
        numbers += [item["number"] for item in page]
        url = next_url(response, request=Request(method="GET", url=url))

    assert numbers == list(range(1, 46))
    assert len(github.seen) == 3


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("per_page=3", [45, 44, 43]),
        ("per_page=2&page=2", [43, 42]),
        ("per_page=x&page=0&state=closed", []),
        ("since=2026-03-01T12:43:00Z", [45, 44]),
        ("sort=updated&direction=asc&per_page=1", [1]),
    ],
)
def test_lists_are_filtered_and_ordered(github: GitHub, query: str, numbers: list[int]) -> None:
    _, page = call(github, "GET", f"/repos/acme/rocket/issues?{query}")

    assert [item["number"] for item in page] == numbers


@pytest.mark.parametrize(
    ("base_url", "host", "root"),
    [
        ("https://api.github.com", None, "https://api.github.com"),
        ("https://ghe.example/api/v3", "ghe.example", "https://ghe.example/api/v3"),
        ("https://api.github.com", "127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://ghe.example/api/v3/", "127.0.0.1:1", "http://127.0.0.1:1/api/v3"),
    ],
)
def test_links_lead_to_where_it_is_served(base_url: str, host: str | None, root: str) -> None:
    github = GitHub(base_url=base_url, tokens=(Token(secret=Secret(value=b"tok")),))
    repository = github.world.add_repository("acme/rocket")
    for _ in range(2):
        github.world.add_issue(repository, title="t", author="a", now=NOW)
    prefix = "/api/v3" if "v3" in base_url else ""

    response, _ = call(
        github,
        "GET",
        f"{prefix}/repos/acme/rocket/issues?per_page=1",
        **({"host": host} if host else {}),
    )

    assert f"<{root}/repos/acme/rocket/issues?per_page=1&page=2>" in (
        response.header("link") or ""
    )


def test_another_process_counts_the_effects(github: GitHub) -> None:
    _, comments = call(github, "GET", "/_sim/comments?repository=acme/rocket&number=1")
    _, issues = call(github, "GET", "/_sim/issues?repository=acme/rocket")
    _, nothing = call(github, "GET", "/_sim/comments?repository=acme/none&number=1")
    wrong, _ = call(github, "GET", "/_sim/comments?repository=acme/rocket&number=x")
    planned, _ = call(github, "POST", "/_sim/faults", body='{"status":500,"effect":"none"}')

    assert comments == {"count": 1, "comments": ["first"]}
    assert issues["count"] == 45
    assert nothing["count"] == 0
    assert wrong.status == 400
    assert planned.status == 201
    assert call_status(github) == 500
    assert github.issues("acme/none", now=NOW) == ()


def call_status(github: GitHub) -> int | None:
    reply = github.handle(Request(method="GET", url="/user"), now=NOW)
    return reply.response.status if reply.response else None
