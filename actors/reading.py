"""Reading at a provider for ourselves: plans without effects, run by the connection's tasks, told to its actor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from datetime import timedelta
from typing import TypeAlias, TypeVar

from attrs import evolve, frozen

from actors import codec
from actors.errors import MaybeSentError, NotSentError
from actors.holding import Holding
from actors.line import Line, Ticket
from actors.pressure import Waiting
from adapters.contract import Delivery, Later, NeedsLogin, Refused, Request, Response
from adapters.polling import CursorLost, Item, Page
from adapters.redaction import DEFAULT_RULES, redact
from persistence.errors import ChangedError, ConflictError, FencedError, StoreUnavailableError
from persistence.records import NewDelivery

BEGUN_FOR = timedelta(minutes=1)
"""A page that was begun is due again only after this: one that kills its actor lets the connection's other work by.

Longer than a crash counts towards a quarantine (``Intensity.within``).
"""
BEING_READ = "it is being read"

HeldUp: TypeAlias = Waiting | Later | NeedsLogin | Refused
Found: TypeAlias = Page | CursorLost | HeldUp
_End = TypeVar("_End")


@frozen
class ReadEnded:
    """A task that read ``about`` something reports to its actor; ``login_refused`` says why a person must come."""

    about: object
    error: FencedError | ChangedError | StoreUnavailableError | None = None
    login_refused: str | None = None


async def report(holding: Holding, about: object, read: Callable[[], Awaitable[Found]]) -> None:
    """Read, and tell the actor that it ended, whichever way."""
    ended = ReadEnded(about)
    try:
        found = await read()
        if isinstance(found, NeedsLogin):
            ended = ReadEnded(about, login_refused=found.reason)
    except ConflictError as error:
        # Reset, paused or cancelled meanwhile: what the page had is found again, or is not wanted.
        holding.log.info("read.superseded", about=str(about), reason=str(error))
    except (FencedError, ChangedError, StoreUnavailableError) as error:
        ended = ReadEnded(about, error=error)
    holding.context.tell_self(ended)


async def read_through(
    plan: Generator[Request, Response, _End], line: Line, *, work: str
) -> _End | Waiting | Later | NeedsLogin:
    """Run a plan to its end, or to what the line holds it up with.

    Raises:
        FencedError, StoreUnavailableError: see ``Line.send``.
    """
    try:
        request = next(plan)
        while True:
            ticket = await line.admit(request, work)
            if not isinstance(ticket, Ticket):
                return ticket
            request = plan.send(await line.send(request, ticket))
    except StopIteration as end:
        outcome: _End = end.value
        return outcome
    except (NotSentError, MaybeSentError) as error:
        return Later(reason=str(error))
    finally:
        plan.close()


def delivery_of(item: Item, holding: Holding, *, origin: str) -> NewDelivery:
    """What was found as a delivery like any other, redacted before it is stored."""
    ports = holding.ports
    found = Delivery(
        event_kind=item.event_kind,
        event_id=item.event_id,
        replay_key=None,
        received_at=ports.clock.now(),
        body=item.body,
    )
    return codec.new_delivery(
        found,
        delivery_id=ports.ids(),
        tenant_id=holding.tenant_id,
        connection_id=holding.connection_id,
        body=redact(item.body, DEFAULT_RULES),
        origin=origin,
    )


def unstuck(page: Page, asked_with: bytes | None) -> Page:
    """A page that leads to itself is the last one: else it would be read for ever."""
    return evolve(page, more=False) if page.more and page.cursor == asked_with else page
