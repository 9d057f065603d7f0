"""Finding an effect again: through the pages of a list, no further back than it can be."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import TypeAlias

from attrs import frozen

from adapters.answers import Ending
from adapters.contract import Later, NeedsLogin, Outcome, Refused, Request, Response, Unsure
from adapters.document import Document, instant, parse_list
from adapters.errors import PayloadError
from adapters.github import meaning
from adapters.github.requests import reading
from adapters.paging import next_url

MAX_PAGES = 20
_CLOCKS_APART = timedelta(minutes=5)

Search: TypeAlias = Generator[Request, Response, Document | Outcome | None]


@frozen(kw_only=True)
class Look:
    """Where an effect would be listed.

    ``verdict`` of an item: True, this is it; False, it is not in the list, so there is no use in looking on; None,
    look on.
    """

    url: str
    verdict: Callable[[Document], bool | None]
    items: Callable[[bytes], tuple[Document, ...]] = parse_list


def window(first_sent_at: datetime) -> datetime:
    """Since when an effect may exist, by GitHub's clock: ours may be ahead of it."""
    return first_sent_at - _CLOCKS_APART


def is_older(item: Document, since: datetime) -> bool:
    """Whether an item was made before ``since``; one that does not say was not."""
    made_at = instant(item, "created_at")
    return made_at is not None and made_at < since


def search(look: Look) -> Search:
    """Read pages until the verdict: the item, or None where there is none, or how the look-up failed."""
    url: str | None = look.url
    for _ in range(MAX_PAGES):
        if url is None:
            return None
        request = reading(url)
        response = yield request
        ending = meaning.ending(response, request=request)
        if ending is not None:
            return in_doubt(ending)
        try:
            found = _judged(look, response.body)
        except PayloadError as error:
            return Later(reason=f"the list to look in is unreadable: {error}", maybe_sent=True)
        if found is not None:
            return found[0]
        url = next_url(response, request=request)
    return None if url is None else Unsure(reason=f"not in {MAX_PAGES} pages, and more follow")


def in_doubt(
    ending: Ending, *, why: str = "may have been sent, and can not be looked up"
) -> Later | Unsure:
    """An ending after something may have been done: that it went no further says nothing of the effect."""
    match ending:
        case Refused():
            return Unsure(reason=f"{why}: {ending.reason}")
        case NeedsLogin():
            # Not NeedsLogin, which says that no effect exists: with a renewed login, looking will tell.
            return Later(reason=f"may have been sent; to look: {ending.reason}", maybe_sent=True)
        case Later():
            return ending


def _judged(look: Look, body: bytes) -> tuple[Document | None] | None:
    """The item, or None in its place where the list is judged not to have it; None where it is not judged."""
    for item in look.items(body):
        verdict = look.verdict(item)
        if verdict is not None:
            return (item if verdict else None,)
    return None
