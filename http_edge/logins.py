"""OAuth 2.0 for connections: a person is sent to the provider and comes back (FR-3)."""

from __future__ import annotations

from urllib.parse import urlencode

from actors.logins import LoginFinished
from actors.orders import By
from actors.platform.identity import Caller
from adapters.contract import Headers, Response
from http_edge.answers import NOT_STORED, json_response
from http_edge.bodies import LoginBody
from http_edge.edge import Edge
from http_edge.management import verified
from http_edge.queries import CallbackQuery
from http_edge.route import Asked
from http_edge.views import LoginView

_TOLD_ONCE: Headers = (
    NOT_STORED,
    ("referrer-policy", "no-referrer"),  # the URL holds what the provider sent
)


async def start(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Begin a login; the answer says where to send the person's browser."""
    body: LoginBody = asked.body
    started = await edge.logins.start(
        caller.tenant_id,
        asked.id_of("connection"),
        by=By(subject=caller.subject),
        return_to=body.return_to,
    )
    view = LoginView(authorization_url=started.authorization_url, expires_at=started.expires_at)
    return json_response(view, headers=_TOLD_ONCE)


async def finish(asked: Asked, edge: Edge) -> Response:
    """Take a person back from the provider: the state, which only they were given, is the proof. Works once."""
    query: CallbackQuery = asked.query
    finished = await edge.logins.finish(state=query.state, code=query.code, error=query.error)
    edge.webhooks.endpoints.forget(finished.verified.connection.connection_id)
    if finished.return_to is None:
        return json_response(verified(finished.verified), headers=_TOLD_ONCE)
    location = ("location", _back(finished, finished.return_to))
    return Response(status=303, headers=(location, *_TOLD_ONCE))


def _back(finished: LoginFinished, return_to: str) -> str:
    """Where the browser goes on to, told what became of it."""
    connection = finished.verified.connection
    told = urlencode(
        {"connection_id": str(connection.connection_id), "status": connection.state.value}
    )
    place, _, fragment = return_to.partition("#")
    joined = f"{place}{'&' if '?' in place else '?'}{told}"
    return f"{joined}#{fragment}" if fragment else joined
