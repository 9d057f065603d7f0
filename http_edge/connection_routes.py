"""The rows of the table that are about connections (PRD 11.1)."""

from __future__ import annotations

from functools import partial

from actors.logins import CALLBACK
from http_edge import logins, management
from http_edge.auth import Permission
from http_edge.bodies import ConnectionBody, ConnectionEdits, LoginBody, ReasonBody, RotationBody
from http_edge.queries import CallbackQuery, ConnectionQuery
from http_edge.route import Guarded, Open, Route
from http_edge.views import (
    ConnectionCreated,
    ConnectionPage,
    ConnectionRotated,
    ConnectionVerified,
    ConnectionView,
    LoginView,
)

_V1 = "/v1/integrations"
_ONE = f"{_V1}/connections/{{connection_id}}"
_WRITE = Permission.WRITE_CONNECTIONS

# A verb on one connection: it has no body, names its version in If-Match, and may be repeated under a key.
_verb = partial(Route, method="POST", errors=(409,), keyed=True, versioned=True, tagged=True)

CONNECTION_ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=f"{_V1}/connections",
        name="create_connection",
        summary="Create a connection; it waits for its verification",
        door=Guarded(permission=_WRITE, handle=management.create),
        body=ConnectionBody,
        answers={201: ConnectionCreated},
        errors=(409, 422),
        keyed=True,
        tagged=True,
        located=(201,),
    ),
    Route(
        method="GET",
        path=f"{_V1}/connections",
        name="list_connections",
        summary="List the tenant's connections",
        door=Guarded(permission=Permission.READ_CONNECTIONS, handle=management.page),
        query=ConnectionQuery,
        answers={200: ConnectionPage},
    ),
    Route(
        method="GET",
        path=_ONE,
        name="show_connection",
        summary="Show a connection",
        door=Guarded(permission=Permission.READ_CONNECTIONS, handle=management.show),
        answers={200: ConnectionView, 304: None},
        tagged=True,
    ),
    Route(
        method="PATCH",
        path=_ONE,
        name="change_connection",
        summary="Change what describes a connection; another address or other settings are verified anew",
        door=Guarded(permission=_WRITE, handle=management.edit),
        body=ConnectionEdits,
        answers={200: ConnectionView},
        errors=(409, 422),
        versioned=True,
        tagged=True,
    ),
    Route(
        method="DELETE",
        path=_ONE,
        name="delete_connection",
        summary="Delete a connection: its endpoint is gone, its secrets are forgotten, its webhook removed",
        door=Guarded(
            permission=_WRITE, handle=management.moved(lambda edge: edge.connections.delete)
        ),
        answers={200: ConnectionView},
        errors=(409,),
        versioned=True,
        tagged=True,
    ),
    _verb(
        path=f"{_ONE}/verify",
        name="verify_connection",
        summary="Try a connection at its provider; it becomes active if that passes",
        door=Guarded(
            permission=_WRITE, handle=management.tried(lambda edge: edge.connections.verify)
        ),
        answers={200: ConnectionVerified},
    ),
    _verb(
        path=f"{_ONE}/subscribe",
        name="subscribe_connection",
        summary="Bring the provider to exactly one webhook of ours",
        door=Guarded(
            permission=_WRITE, handle=management.tried(lambda edge: edge.connections.subscribe)
        ),
        answers={200: ConnectionVerified},
        errors=(409, 422),
    ),
    _verb(
        path=f"{_ONE}/suspend",
        name="suspend_connection",
        summary="Suspend a connection: nothing is sent, what comes in is kept",
        door=Guarded(
            permission=_WRITE,
            handle=management.moved_for_a_reason(lambda edge: edge.connections.suspend),
        ),
        body=ReasonBody,
        answers={200: ConnectionView},
    ),
    _verb(
        path=f"{_ONE}/resume",
        name="resume_connection",
        summary="Resume a suspended or disabled connection",
        door=Guarded(
            permission=_WRITE, handle=management.moved(lambda edge: edge.connections.resume)
        ),
        answers={200: ConnectionView},
    ),
    _verb(
        path=f"{_ONE}/disable",
        name="disable_connection",
        summary="Disable a connection: nothing is sent and nothing is taken in",
        door=Guarded(
            permission=_WRITE,
            handle=management.moved_for_a_reason(lambda edge: edge.connections.disable),
        ),
        body=ReasonBody,
        answers={200: ConnectionView},
    ),
    _verb(
        path=f"{_ONE}/rotate",
        name="rotate_connection",
        summary="Replace secrets of a connection; the old webhook secret and URL stay good for a grace time",
        door=Guarded(permission=_WRITE, handle=management.rotate),
        body=RotationBody,
        answers={200: ConnectionRotated},
        errors=(409, 422),
    ),
    Route(
        method="POST",
        path=f"{_ONE}/oauth/start",
        name="start_login",
        summary="Begin an OAuth 2.0 login for a connection",
        door=Guarded(permission=_WRITE, handle=logins.start),
        body=LoginBody,
        answers={200: LoginView},
        errors=(409, 422),
        keyed=True,
    ),
    Route(
        method="GET",
        path=CALLBACK,
        name="finish_login",
        summary="Take a person back from the provider; the state is the proof, and works once",
        door=Open(handle=logins.finish),
        query=CallbackQuery,
        answers={200: ConnectionVerified, 303: None},
        errors=(400, 403, 404, 409, 412, 422, 503),
        located=(303,),
    ),
)
