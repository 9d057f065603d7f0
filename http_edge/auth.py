"""Who may do what: roles to permissions, one table; the caller is known before anything else happens."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from actors.platform.errors import InvalidTokenError
from actors.platform.identity import Caller, Identity
from http_edge.errors import EdgeError


class Permission(StrEnum):
    """What an endpoint asks for."""

    READ_CONNECTIONS = "connections:read"
    WRITE_CONNECTIONS = "connections:write"
    EXECUTE_ACTIONS = "actions:execute"
    READ_ACTIONS = "actions:read"
    FORWARD_SIGNALS = "signals:forward"
    READ_HEALTH = "health:read"
    READ_METRICS = "metrics:read"


PERMISSIONS: Mapping[str, frozenset[Permission]] = {
    "tenant_admin": frozenset(
        {
            Permission.READ_CONNECTIONS,
            Permission.WRITE_CONNECTIONS,
            Permission.READ_ACTIONS,
            Permission.READ_HEALTH,
        }
    ),
    "module": frozenset(
        {
            Permission.READ_CONNECTIONS,
            Permission.EXECUTE_ACTIONS,
            Permission.READ_ACTIONS,
            Permission.FORWARD_SIGNALS,
            Permission.READ_HEALTH,
        }
    ),
    "operator": frozenset(
        {
            Permission.READ_CONNECTIONS,
            Permission.READ_ACTIONS,
            Permission.READ_HEALTH,
            Permission.READ_METRICS,  # of all tenants, so nobody else may
        }
    ),
}


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
