"""Who may do what: roles to permissions, one table; the caller is known before anything else happens."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from actors.platform.errors import InvalidTokenError
from actors.platform.identity import Caller, Identity
from http_edge.errors import EdgeError


class Permission(StrEnum):
    """What an endpoint asks for."""

    READ_PROVIDERS = "providers:read"
    READ_CONNECTIONS = "connections:read"
    WRITE_CONNECTIONS = "connections:write"
    EXECUTE_ACTIONS = "actions:execute"
    READ_ACTIONS = "actions:read"
    CANCEL_ACTIONS = "actions:cancel"
    RESOLVE_ACTIONS = "actions:resolve"
    FORWARD_SIGNALS = "signals:forward"
    READ_HEALTH = "health:read"
    READ_METRICS = "metrics:read"


_READ = frozenset(
    {
        Permission.READ_PROVIDERS,
        Permission.READ_CONNECTIONS,
        Permission.READ_ACTIONS,
        Permission.READ_HEALTH,
    }
)

PERMISSIONS: Mapping[str, frozenset[Permission]] = {
    "tenant_admin": _READ | {Permission.WRITE_CONNECTIONS, Permission.CANCEL_ACTIONS},
    "module": _READ
    | {Permission.EXECUTE_ACTIONS, Permission.CANCEL_ACTIONS, Permission.FORWARD_SIGNALS},
    "operator": _READ
    | {
        Permission.CANCEL_ACTIONS,
        Permission.RESOLVE_ACTIONS,
        Permission.READ_METRICS,  # of all tenants, so nobody else may
    },
    "viewer": _READ,
}


async def admit(identity: Identity, authorization: str | None, permission: Permission) -> Caller:
    """Whoever calls, if they may.

    Raises:
        EdgeError, InvalidTokenError, PlatformUnavailableError: see ``demand`` and ``authenticate``.
    """
    caller = await authenticate(identity, authorization)
    demand(caller, permission)
    return caller


async def authenticate(identity: Identity, authorization: str | None) -> Caller:
    """The caller of a bearer token.

    Raises:
        InvalidTokenError: none was sent, or it is not good.
        PlatformUnavailableError: IAM can not be asked; nobody is let in meanwhile.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidTokenError("a bearer token is needed")
    return await identity.verify(token.strip())


def demand(caller: Caller, permission: Permission) -> None:
    """Let the caller through only with ``permission``.

    Raises:
        EdgeError: 403.
    """
    granted: frozenset[Permission] = frozenset().union(
        *(PERMISSIONS.get(role, frozenset()) for role in caller.roles)
    )
    if permission not in granted:
        raise EdgeError(
            403,
            "FORBIDDEN",
            f"this needs the permission {permission.value}",
            details={"permission": permission.value},
        )
