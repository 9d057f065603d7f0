"""One route of the API: what it is, who may, what it takes, what it answers, and the function that does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from uuid import UUID

from attrs import field, frozen

from actors.platform.identity import Caller
from adapters.contract import Request, Response
from http_edge.auth import Permission
from http_edge.edge import Edge
from http_edge.errors import NotFoundError
from http_edge.idempotency import Claim
from http_edge.preconditions import expected_version
from http_edge.queries import NoQuery
from http_edge.webhooks import Read


@frozen(kw_only=True)
class Asked:
    """A request as its route's function sees it: what was sent is read and of the route's types.

    ``request`` has no body; ``read`` reads it where the route takes it raw. ``claim`` is held while a request with an
    Idempotency-Key is carried out.
    """

    request: Request = field(repr=False)
    path: Mapping[str, str] = field(repr=False)
    read: Read
    query: Any = None
    body: Any = field(default=None, repr=False)
    claim: Claim | None = None

    def id_of(self, what: str) -> UUID:
        """The id in the path that names a ``what`` (``{what_id}``).

        Raises:
            NotFoundError: it is no id, so there is no such thing.
        """
        return id_in(self.path[f"{what}_id"], what)

    def expected_version(self) -> int | None:
        """The version in If-Match; None: any.

        Raises:
            InvalidError: it is malformed.
        """
        return expected_version(self.request.header("if-match"))


def id_in(text: str, what: str) -> UUID:
    """The id of a ``what``.

    Raises:
        NotFoundError: it is no id, so there is no such thing.
    """
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError(what) from error


Handle: TypeAlias = Callable[[Caller, Asked, Edge], Awaitable[Response]]


@frozen(kw_only=True)
class Guarded:
    """A door for callers that IAM knows and whose roles grant ``permission``."""

    permission: Permission
    handle: Handle


@frozen(kw_only=True)
class Open:
    """A door for everyone; what is behind it may ask for a proof of its own, or for ``permission``."""

    handle: Callable[[Asked, Edge], Awaitable[Response]]
    permission: Permission | None = None


Door: TypeAlias = Guarded | Open


@frozen(kw_only=True)
class Route:
    """One row of the table. The OpenAPI document is made of the same rows.

    ``path`` has ``{names}``. ``answers``: the type of each good answer (None: no body, or not JSON). ``errors``: the
    statuses beside those that follow from the rest. ``body``: what it takes; ``raw``: the function reads it itself.
    ``keyed``: an Idempotency-Key is honoured. ``versioned``: If-Match is. ``tagged``: good answers carry an ETag, and a
    GET honours If-None-Match. ``prefers``: ``Prefer: wait`` is honoured. ``located``: the answers that carry a Location.
    """

    method: str
    path: str
    name: str
    summary: str
    door: Door
    answers: Mapping[int, type | None]
    errors: tuple[int, ...] = ()
    body: type | None = None
    raw: bool = False
    query: type = NoQuery
    keyed: bool = False
    versioned: bool = False
    tagged: bool = False
    prefers: bool = False
    located: tuple[int, ...] = ()
    media: str = "application/json"

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the path, in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))
