"""Everything that can be asked of the simulated GitHub's repositories, and of the account that asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from adapters.contract import Response
from adapters.document import Document
from adapters.github import (
    routes,
    simulator_commits,
    simulator_issues,
    simulator_lists,
    simulator_reviews,
)
from adapters.github.routes import Call, Endpoints, Place
from adapters.github.world import Repository
from adapters.simulation import as_json


def answer(call: Call) -> Response:
    """Do what the request asks.

    Raises:
        PayloadError: its body is no JSON object.
    """
    account = _ACCOUNT.get((call.request.method, call.request.url))
    return account(call) if account is not None else routes.answer(call, ENDPOINTS)


def _user(call: Call) -> Response:
    if call.token.login is None:
        return as_json(403, {"message": "Resource not accessible by integration"})
    return as_json(200, {"login": call.token.login, "id": 1, "type": "User"})


def _installation(call: Call) -> Response:
    if call.token.login is not None:
        return as_json(403, {"message": "You must authenticate with an installation access token"})
    listed = [_shown(repository) for repository in call.world.repositories.values()]
    shown = listed[: routes.per_page(call)]
    return as_json(200, {"total_count": len(listed), "repositories": shown})


def _get_repository(at: Place) -> Response:
    return as_json(200, _shown(at.repository))


def _shown(repository: Repository) -> Document:
    return {
        "id": repository.id,
        "full_name": repository.full_name,
        "has_issues": repository.has_issues,
    }


_ACCOUNT: Mapping[tuple[str, str], Callable[[Call], Response]] = MappingProxyType(
    {("GET", "/user"): _user, ("GET", "/installation/repositories"): _installation}
)
ENDPOINTS: Endpoints = MappingProxyType(
    {
        ("GET", ""): _get_repository,
        **simulator_lists.ENDPOINTS,
        **simulator_issues.ENDPOINTS,
        **simulator_reviews.ENDPOINTS,
        **simulator_commits.ENDPOINTS,
    }
)
