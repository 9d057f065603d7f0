"""A line to a provider that lets everything through, and counts the tickets that are out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from actors.line import Admission, Ticket
from adapters.contract import Request, Response, Secret
from runtime import Permit

Send = Callable[[Request], Awaitable[Response]]

_FREE = Ticket(permit=Permit(era=0), token=Secret(value=b"a-token"))


class OpenLine:
    """See ``drive.Line``. ``answers``: what it says to the next requests for admission, instead of a ticket."""

    def __init__(self, send: Send, *answers: Admission | Exception) -> None:
        self.out = 0
        self.asked: list[Request] = []
        self._send = send
        self._answers = list(answers)

    async def admit(self, request: Request, work: str) -> Admission:
        """See ``drive.Line.admit``; nothing is awaited once the ticket is out."""
        await trio.lowlevel.checkpoint()
        self.asked.append(request)
        answer = self._answers.pop(0) if self._answers else _FREE
        if isinstance(answer, Exception):
            raise answer
        self.out += isinstance(answer, Ticket)
        return answer

    def give_back(self, ticket: Ticket) -> None:
        """See ``drive.Line.give_back``."""
        self.out -= 1

    async def send(self, request: Request, ticket: Ticket) -> Response:
        """See ``drive.Line.send``."""
        try:
            return await self._send(request)
        finally:
            self.out -= 1
