"""What GitHub's answers mean: its two kinds of rate limit, its permissions, its messages.

docs.github.com, "Rate limits for the REST API" and "Troubleshooting the REST API".
"""

from __future__ import annotations

import re
from datetime import timedelta

from adapters import answers
from adapters.contract import Later, Refused, Request, Response
from adapters.document import Document, bounded, objects, optional, parse
from adapters.errors import PayloadError
from adapters.github import limits
from adapters.redaction import redact_text

_SECONDARY = re.compile(
    r"secondary rate limit|abuse detection|submitted too quickly", re.IGNORECASE
)
_SECONDARY_WAIT = timedelta(seconds=60)
_MAX_MESSAGE = 300


def ending(response: Response, *, request: Request) -> answers.Ending | None:
    """How the plan ends with this answer, or None where it goes on; see ``answers.ending``."""
    said = message(response)
    limited = _limited(response, said)
    if limited is not None:
        return limited
    if response.status == 403:
        return _forbidden(response, said)
    return answers.ending(response, request=request, message=said)


def is_limit(response: Response) -> bool:
    """Whether GitHub refuses this now only because too much was asked."""
    return _limited(response, message(response)) is not None


def message(response: Response) -> str:
    """What GitHub says is wrong, in one line fit to be shown; "" where it says nothing readable."""
    if response.status < 400:
        return ""
    try:
        document = parse(response.body)
        said = optional(document, "message", str) or ""
        problems = "; ".join(_problem(error) for error in _errors(document))
    except PayloadError:
        return ""
    whole = f"{said} ({problems})" if problems else said
    return bounded(redact_text(" ".join(whole.split())), limit=_MAX_MESSAGE) or ""


def _errors(document: Document) -> tuple[Document, ...]:
    # Some endpoints list plain texts here, or one text; the message then says enough.
    listed = document.get("errors")
    if not isinstance(listed, list) or not all(isinstance(error, dict) for error in listed):
        return ()
    return objects(document, "errors")[:5]


def _problem(error: Document) -> str:
    words = (error.get(name) for name in ("resource", "field", "code", "message"))
    return " ".join(str(word) for word in words if word)


def _limited(response: Response, said: str) -> Later | None:
    if response.status not in (403, 429):
        return None
    exhausted = response.header("x-ratelimit-remaining") == "0"
    asked = answers.retry_after(response)
    if response.status == 403 and not exhausted and asked is None and not _SECONDARY.search(said):
        return None
    # Where both are said, both hold.
    wishes = [wish for wish in (asked, _until_reset(response) if exhausted else None) if wish]
    wait = max(wishes, default=_SECONDARY_WAIT)
    return Later(reason=f"{response.status}: {said or 'rate limited'}", retry_after=wait)


def _until_reset(response: Response) -> timedelta | None:
    resets_at, now = limits.reset(response), answers.answered_at(response)
    if now is None or resets_at is None:
        return None
    return min(max(resets_at - now, timedelta(seconds=1)), answers.MAX_RETRY_AFTER)


def _forbidden(response: Response, said: str) -> Refused:
    needed = response.header("x-accepted-github-permissions")
    reason = f"403: {said or 'forbidden'}"
    if needed:
        reason += f"; needs {bounded(needed, limit=_MAX_MESSAGE)}"
    return Refused(reason=reason, status=403)
