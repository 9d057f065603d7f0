"""Asking a sibling module over HTTP: one deadline per call, and every failure translated once, here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio
from attrs import field, frozen

from actors.platform.errors import (
    PlatformError,
    PlatformMisconfiguredError,
    PlatformRefusedError,
    PlatformUnavailableError,
)

_ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
_LONGEST_CODE = 80
_BUSY = frozenset({408, 425, 429})
_NOT_ALLOWED = frozenset({401, 403, 405})
_CODE = re.compile(r"[A-Za-z0-9_.-]+")


@frozen(kw_only=True)
class Ask:
    """One call: ``path`` is below the sibling's base URL; ``body`` is JSON, or empty for none."""

    method: str
    path: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@frozen(kw_only=True)
class Answer:
    """What came back; 408, 425, 429 and 5xx never become one, they are errors already."""

    sibling: str
    status: int
    body: bytes = field(repr=False)

    def document(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            PlatformUnavailableError: it is none; whatever answered, it was not the sibling at its best.
        """
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self.senseless()
        return document

    def senseless(self) -> PlatformUnavailableError:
        """The error for an answer that does not say what it has to."""
        return PlatformUnavailableError(
            f"{self.sibling} answered {self.status} with a body that makes no sense"
        )

    def complaint(self) -> tuple[str | None, str]:
        """The error's code, if it has one, and its text ("" if none).

        Each sibling has its own shape: ``{"detail": {"error": {..}}}``, ``{"error": {..}}``,
        ``{"detail": {"error_code": ..}}`` or ``{"detail": "text"}``. The text may quote what was sent: match on
        it, never show it.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None, ""
        for step in ("detail", "error"):
            if isinstance(found, dict) and step in found:
                found = found[step]
        if isinstance(found, str):
            return None, found
        if not isinstance(found, dict):
            return None, ""
        code = found.get("code", found.get("error_code"))
        text = found.get("message")
        return _safe_code(code), text if isinstance(text, str) else ""

    def refusal(self) -> PlatformError:
        """What an answer that is not the hoped for means, where the sibling has no rule of its own."""
        code, _ = self.complaint()
        if self.status in _NOT_ALLOWED or self.status < 400 or (self.status == 404 and not code):
            return PlatformMisconfiguredError(
                f"{self.sibling} answered {self.status}: check its address and our credentials"
            )
        return PlatformRefusedError(self.sibling, code or f"HTTP_{self.status}")


class Sibling:
    """One sibling module at its address. Keeps no state but the client's pool of connections."""

    def __init__(self, name: str, base_url: str, client: httpx.AsyncClient) -> None:
        """Speak to ``name`` under ``base_url`` through ``client``, which stays the caller's to close.

        Raises:
            ValueError: the URL is not an http(s) one with a host, or carries credentials.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise ValueError(f"{name}: must be an http(s) URL without credentials")
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._client = client

    async def ask(self, ask: Ask, *, within: timedelta) -> Answer:
        """Perform the call; from connecting to the last byte it may take ``within``.

        Raises:
            PlatformUnavailableError: no answer in time, no connection, or an answer that says "not now". Unless
                the connection could not be made, what was asked may have been done.
        """
        try:
            with trio.fail_after(within.total_seconds()):
                status, headers, body = await self._exchange(ask)
        except trio.TooSlowError as error:
            raise PlatformUnavailableError(
                f"{self.name} gave no answer in {within.total_seconds():g} s"
            ) from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise PlatformUnavailableError(
                f"{self.name} can not be reached: {type(error).__name__}"
            ) from error
        if status in _BUSY or status >= 500:
            raise PlatformUnavailableError(
                f"{self.name} answered {status}", retry_after=_retry_after(headers)
            )
        return Answer(sibling=self.name, status=status, body=body)

    async def _exchange(self, ask: Ask) -> tuple[int, httpx.Headers, bytes]:
        # Uncompressed, so that the limit below is one on memory too.
        headers = {"accept": "application/json", "accept-encoding": "identity", **ask.headers}
        if ask.body:
            headers["content-type"] = "application/json"
        url = self._base_url + ask.path
        async with self._client.stream(
            ask.method, url, headers=headers, content=ask.body or None, timeout=None
        ) as response:
            body = await self._whole(response)
            return response.status_code, response.headers, body

    async def _whole(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _ANSWER_LIMIT_BYTES:
                # Leaving the loop would leave httpx's generators half done; closed, they end themselves.
                await response.aclose()
        if len(body) > _ANSWER_LIMIT_BYTES:
            raise PlatformUnavailableError(f"{self.name} answered too much")
        return bytes(body)


def _retry_after(headers: httpx.Headers) -> timedelta | None:
    """Seconds only: no sibling sends the date form. Absurdly long ones count as a day."""
    value = headers.get("retry-after", "").strip()
    if not (value.isascii() and value.isdigit()):
        return None
    return timedelta(seconds=min(int(value[:9]), 86_400))


def _safe_code(code: object) -> str | None:
    if isinstance(code, str) and len(code) <= _LONGEST_CODE and _CODE.fullmatch(code):
        return code
    return None
