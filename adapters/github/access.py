"""GitHub's tokens: how they are added, and what they were found to allow."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Set
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

import orjson
from attrs import evolve, frozen

from adapters.contract import (
    Done,
    Later,
    NeedsLogin,
    Outcome,
    Plan,
    Refused,
    Request,
    Response,
    Secret,
)
from adapters.document import Document, find, parse
from adapters.errors import PayloadError, SettingsError
from adapters.github import meaning
from adapters.github.permissions import Verdict, by_grant, by_scopes, needed
from adapters.github.requests import reading
from adapters.github.settings import GitHubSettings, read_settings, targets

_USER = "/user"
_INSTALLATION = "/installation/repositories?per_page=1"
_MOST_TRIED = 10
_FINE_GRAINED_ALSO = "x-accepted-github-permissions"

_READS: Mapping[str, str] = MappingProxyType(
    {"issues:write": "/issues?per_page=1", "pull_requests:write": "/pulls?per_page=1"}
)
"""Reads that are refused where the permission lacks altogether; where they succeed, writing is still unknown."""


@frozen(kw_only=True)
class _Standing:
    """Who the token acts for, and what it, or its grant, says that it allows."""

    kind: str
    account: str | None
    verdicts: Mapping[str, Verdict]


@frozen(kw_only=True)
class _Trial:
    """A read that tells whether ``permission`` lacks; ``target``: where webhooks are to be registered."""

    permission: str
    url: str
    target: str | None = None


_Trials: TypeAlias = Generator[Request, Response, Outcome | tuple[_Trial, ...]]


def authorise(request: Request, *, token: Secret) -> Request:
    """See ``Adapter.authorise``; all of GitHub's kinds of token are sent alike."""
    # latin-1 decodes every byte; a decoding error would carry the token.
    bearer = ("authorization", f"Bearer {token.value.decode('latin-1')}")
    others = (header for header in request.headers if header[0] != "authorization")
    return evolve(request, headers=(*others, bearer))


def probe(settings: bytes = b"{}", *, granted: tuple[str, ...] = ()) -> Plan:
    """Find out whether the token works, and what it allows; see ``Adapter.probe``.

    ``Done.details``: ``account`` (a user's login; None for an installation), ``kind`` (``classic``: a token with
    scopes, ``fine_grained`` or ``installation``), ``permissions``, and ``targets``: whether the webhooks of each
    can be read. Classic tokens say what they allow; an installation's grant said it; of the others only what they
    lack can be found, by reading.
    """
    try:
        told = read_settings(settings)
    except SettingsError as error:
        return Refused(reason=str(error))
    standing = yield from _standing(told, frozenset(granted))
    if not isinstance(standing, _Standing):
        return standing
    trials = _trials(told, standing)
    refused = yield from _try(trials)
    return _verdict(standing, trials, refused) if isinstance(refused, tuple) else refused


def _standing(
    settings: GitHubSettings, granted: Set[str]
) -> Generator[Request, Response, Outcome | _Standing]:
    request = reading(_USER)
    response = yield request
    if response.status != 403 or meaning.is_limit(response):
        return meaning.ending(response, request=request) or _user(response, settings, granted)
    # A token of an installation has no user.
    request = reading(_INSTALLATION)
    response = yield request
    verdicts = {each: by_grant(granted, each) for each in needed(settings)}
    standing = _Standing(kind="installation", account=None, verdicts=verdicts)
    return meaning.ending(response, request=request) or standing


def _user(response: Response, settings: GitHubSettings, granted: Set[str]) -> _Standing:
    login = find(_readable(response), "login")
    scopes = response.header("x-oauth-scopes")
    # Tokens without scopes may come with that header empty; only they are told permissions.
    classic = scopes is not None and response.header(_FINE_GRAINED_ALSO) is None
    held = frozenset(scope.strip() for scope in (scopes or "").split(","))
    tell = partial(by_scopes, held) if classic else partial(by_grant, granted)
    return _Standing(
        kind="classic" if classic else "fine_grained",
        account=login if isinstance(login, str) else None,
        verdicts={each: tell(each) for each in needed(settings)},
    )


def _trials(settings: GitHubSettings, standing: _Standing) -> tuple[_Trial, ...]:
    hooks = [
        _Trial(
            permission=target.permission,
            url=f"{target.path}/hooks?per_page=1",
            target=target.name,
        )
        for target in targets(settings)[:_MOST_TRIED]
    ]
    reads = [
        _Trial(permission=permission, url=f"/repos/{repository}{path}")
        for repository in settings.repositories[:1]
        for permission, path in _READS.items()
        if standing.verdicts[permission] is Verdict.UNKNOWN
    ]
    return (*hooks, *reads)


def _try(trials: tuple[_Trial, ...]) -> _Trials:
    """Those that GitHub refuses: with 403, or with 404, by which it also hides what may not be seen."""
    refused = []
    for trial in trials:
        request = reading(trial.url)
        response = yield request
        match meaning.ending(response, request=request):
            case Refused(status=403 | 404):
                refused.append(trial)
            case Later() | NeedsLogin() as ending:
                return ending
            case _:
                # It is read, or there is nothing to read (410): neither says what is allowed.
                continue
    return tuple(refused)


def _verdict(standing: _Standing, trials: tuple[_Trial, ...], refused: tuple[_Trial, ...]) -> Done:
    missing = {trial.permission: Verdict.MISSING for trial in refused}
    details = {
        "kind": standing.kind,
        "account": standing.account,
        "permissions": {**standing.verdicts, **missing},
        "targets": {
            trial.target: Verdict.MISSING if trial in refused else Verdict.GRANTED
            for trial in trials
            if trial.target is not None
        },
    }
    return Done(details=orjson.dumps(details))


def _readable(response: Response) -> Document:
    try:
        return parse(response.body)
    except PayloadError:
        # The status proves the token; the name is only for people.
        return {}
