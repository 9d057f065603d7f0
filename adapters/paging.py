"""Following lists that span several answers: the ``Link`` header (RFC 8288)."""

from __future__ import annotations

import re
from urllib.parse import urljoin

from adapters.contract import Request, Response

_LINK = re.compile(r'<([^<>]*)>((?:[^,"<]|"(?:[^"\\]|\\.)*")*)')
_PARAMETER = re.compile(r';\s*([^\s=;,"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))')


def next_url(response: Response, *, request: Request) -> str | None:
    """The URL of the next part of the list, or None on the last one.

    As the provider gave it, and resolved against ``request`` where it is relative; whether it may be asked
    (the same origin) is for the one who sends it. The first ``rel`` of a link counts (RFC 8288, 3.3).
    """
    for name, value in response.headers:
        if name == "link":
            for target, parameters in _LINK.findall(value):
                if "next" in _relations(parameters):
                    return urljoin(request.url, str(target))
    return None


def _relations(parameters: str) -> list[str]:
    for name, quoted, token in _PARAMETER.findall(parameters):
        if name.lower() == "rel":
            return str(quoted or token).lower().split()
    return []
