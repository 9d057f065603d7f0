"""What the simulated GitHub lets a token do: by the permissions it lists, and for webhooks by its scopes."""

from __future__ import annotations

import re

from adapters.contract import Response
from adapters.github.routes import Call
from adapters.simulation import as_json

_LEVELS = ("read", "write", "admin")
_OWNED = re.compile(r"/(?P<kind>repos/[^/]+/[^/]+|repositories/\d+|orgs/[^/]+)(?P<rest>/.*)?")
_NEEDS = (
    (re.compile(r"/issues/\d+/comments"), ("issues", "pull_requests")),
    (re.compile(r"/issues(/.*)?"), ("issues",)),
    (re.compile(r"/pulls(/.*)?"), ("pull_requests",)),
    (re.compile(r"/statuses/.*|/commits/[^/]+/status(es)?"), ("statuses",)),
    (re.compile(r"/check-runs(/.*)?|/commits/[^/]+/check-runs"), ("checks",)),
)
_HOOKS = re.compile(r"/hooks(/.*)?")
_HOOK_SCOPES = {
    "repository_hooks": frozenset({"repo", "public_repo", "admin:repo_hook"}),
    "organization_hooks": frozenset({"admin:org_hook"}),
}


def refusal(call: Call) -> Response | None:
    """How GitHub refuses the call for want of a permission; None where it does not."""
    found = _OWNED.fullmatch(call.request.url)
    if found is None:
        return None
    needs = _needs(found["kind"], found["rest"] or "")
    level = "read" if call.request.method == "GET" else "write"
    if call.token.permissions is not None:
        return _unlisted(call.token.permissions, needs, level, installed=call.token.login is None)
    opening = _HOOK_SCOPES.get(needs[0]) if needs else None
    if opening is None or call.token.scopes is None or opening & {*call.token.scopes}:
        return None
    # What a classic token may not see, is not there for it.
    return as_json(404, {"message": "Not Found", "status": "404"})


def _needs(kind: str, rest: str) -> tuple[str, ...]:
    if _HOOKS.fullmatch(rest):
        return ("organization_hooks" if kind.startswith("orgs/") else "repository_hooks",)
    return next((needs for form, needs in _NEEDS if form.fullmatch(rest)), ())


def _unlisted(
    permissions: tuple[str, ...], needs: tuple[str, ...], level: str, *, installed: bool
) -> Response | None:
    held = dict(entry.split(":") for entry in permissions)
    wanted = _LEVELS.index(level)
    if not needs or any(name in held and _LEVELS.index(held[name]) >= wanted for name in needs):
        return None
    whose = "integration" if installed else "personal access token"
    accepted = "; ".join(f"{name}={level}" for name in needs)
    return as_json(
        403,
        {"message": f"Resource not accessible by {whose}", "status": "403"},
        headers=(("x-accepted-github-permissions", accepted),),
    )
