"""More simulated GitHubs for the demo and the tests: one whose tokens end soon, others to be troubled alone."""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson
from attrs import evolve, frozen

from adapters.contract import Request, Response, Secret
from adapters.github.simulator import GitHub
from adapters.github.world import Token
from adapters.simulation import Reply
from http_edge.stage import TOKENS
from http_edge.surroundings import ISSUE, PULL_REQUEST, REPOSITORY

RENEWED_AHEAD = timedelta(minutes=5)
"""A node renews a token as soon as less than this is left of it."""
PAST = 1_000
"""So many issues a GitHub with a past has, one of each day."""
_TITLES = {ISSUE: "The engine is cold", PULL_REQUEST: "Warm the engine"}


@frozen(kw_only=True)
class HastyGitHub:
    """GitHub whose logins say that their tokens live for ``lives`` only, so that their renewal can be watched."""

    github: GitHub
    lives: timedelta

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer as GitHub does."""
        reply = self.github.handle(request, now=now)
        if request.url.partition("?")[0] != TOKENS or reply.response is None:
            return reply
        return evolve(reply, response=self._shortened(reply.response))

    def _shortened(self, response: Response) -> Response:
        said = orjson.loads(response.body)
        if "expires_in" in said:
            said["expires_in"] = int(self.lives.total_seconds())
        return evolve(response, body=orjson.dumps(said))


def hub(*, now: datetime, token: Secret | None = None) -> GitHub:
    """A GitHub with the usual repository, that knows this token."""
    github = GitHub(tokens=() if token is None else (Token(secret=token, scopes=("repo",)),))
    repository = github.world.add_repository(REPOSITORY)
    for number, title in _TITLES.items():
        is_pr = number == PULL_REQUEST
        github.world.add_issue(repository, title=title, author="ada", now=now, is_pr=is_pr)
    return github


def hub_with_past(*, now: datetime, token: Secret) -> GitHub:
    """A GitHub whose repository has an issue of each of the last days, the latest being yesterday's."""
    github = GitHub(tokens=(Token(secret=token, scopes=("repo",)),))
    repository = github.world.add_repository(REPOSITORY)
    for ago in range(PAST, 0, -1):
        at = now - timedelta(days=ago)
        github.world.add_issue(repository, title=f"Of {at:%Y-%m-%d}", author="ada", now=at)
    return github
