"""Removing secrets from a document before it is stored: by the name of the key, and by the shape of the value.

Almost no body holds a secret, and every one passes here, so the raw bytes are searched for fixed strings first
(ten times the speed of one large regular expression on a 28 kB body); only a suspicious body is parsed. The
search may suspect too much, never too little: what JSON escapes as ``u00xx`` is suspicious by itself.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from attrs import field, frozen

from adapters.errors import PayloadError

REDACTED = "[redacted]"

_MAX_DEPTH = 200
_MAX_KEY_BYTES = 200
_ESCAPED_ASCII = b"\\u00"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_COLON = re.compile(rb"\s*:")
_SEPARATORS = re.compile(r"[^a-z0-9]+")


@frozen(kw_only=True)
class Shape:
    """What a secret looks like wherever it stands.

    ``pattern`` is searched in decoded text. Where it matches, the raw JSON holds one of ``traces``: so those
    are free of what JSON escapes with one letter (line ends, tabs, slashes, quotes).
    """

    name: str
    pattern: str
    traces: tuple[bytes, ...]


KEY_ENDINGS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "client_secret",
    "signing_secret",
    "webhook_secret",
    "secret_key",
    "private_key",
    "api_key",
    "access_key",
    "access_token",
    "refresh_token",
    "auth_token",
    "bearer_token",
    "bot_token",
    "id_token",
    "private_token",
    "session_token",
    "signing_key",
    "credentials",
    "authorization",
    "cookie",
)
"""Words a key ends with when its value is a secret (``db_password``, ``X-Api-Key``, ``clientSecret``)."""

KEYS = ("token", "pwd")
"""Whole keys whose value is a secret. ``next_page_token`` and ``total_tokens`` are none."""

SHAPES = (
    Shape(
        name="github",
        pattern=r"gh[opsur]_[A-Za-z0-9_.-]{16,}",
        traces=(b"gho_", b"ghp_", b"ghs_", b"ghu_", b"ghr_"),
    ),
    Shape(name="github fine-grained", pattern=r"github_pat_\w{16,}", traces=(b"github_pat_",)),
    Shape(name="gitlab", pattern=r"glpat-[\w.-]{16,}", traces=(b"glpat-",)),
    Shape(name="aws", pattern=r"(?:AKIA|ASIA)[0-9A-Z]{16}", traces=(b"AKIA", b"ASIA")),
    Shape(name="slack", pattern=r"xox[a-z]-[A-Za-z0-9-]{10,}", traces=(b"xox",)),
    Shape(name="slack app", pattern=r"xapp-[A-Za-z0-9-]{10,}", traces=(b"xapp-",)),
    Shape(name="jwt", pattern=r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", traces=(b"eyJ",)),
    Shape(
        name="private key",
        pattern=r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
        r"(?s:.)*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        traces=(b"PRIVATE KEY",),
    ),
)


@frozen(kw_only=True)
class Rules:
    """What counts as a secret. Key names are written in snake_case, and fit camelCase and kebab-case too."""

    endings: tuple[str, ...] = KEY_ENDINGS
    keys: tuple[str, ...] = KEYS
    shapes: tuple[Shape, ...] = SHAPES
    _traces: tuple[bytes, ...] = field(init=False, repr=False, eq=False)
    _key_ends: tuple[bytes, ...] = field(init=False, repr=False, eq=False)
    _key: re.Pattern[str] = field(init=False, repr=False, eq=False)
    _value: re.Pattern[str] = field(init=False, repr=False, eq=False)

    @_traces.default
    def _list_traces(self) -> tuple[bytes, ...]:
        return (_ESCAPED_ASCII, *(trace for shape in self.shapes for trace in shape.traces))

    @_key_ends.default
    def _list_key_ends(self) -> tuple[bytes, ...]:
        last_words = {name.rpartition("_")[2] for name in (*self.endings, *self.keys)}
        return tuple(f'{word}"'.encode() for word in sorted(last_words))

    @_key.default
    def _compile_key(self) -> re.Pattern[str]:
        endings, keys = (
            "|".join(name.replace("_", "_?") for name in names)
            for names in (self.endings, self.keys)
        )
        return re.compile(rf"(?:\w*_)?(?:{endings})|(?:{keys})")

    @_value.default
    def _compile_value(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{shape.pattern})" for shape in self.shapes), re.ASCII)

    def suspects(self, body: bytes) -> bool:
        """Whether the raw JSON may hold a secret; says yes rather once too often."""
        if any(trace in body for trace in self._traces):
            return True
        lowered = body.lower()
        return any(
            end in lowered and self._ends_secret_key(body, lowered, end) for end in self._key_ends
        )

    def hides(self, key: str) -> bool:
        """Whether what stands under ``key`` is a secret."""
        ascii_only = key.encode("ascii", "replace").decode("ascii")
        words = _SEPARATORS.sub("_", _CAMEL.sub("_", ascii_only).lower())
        return self._key.fullmatch(words) is not None

    def clean(self, text: str) -> str:
        """The text with everything of a secret's shape replaced."""
        return self._value.sub(REDACTED, text)

    def _ends_secret_key(self, body: bytes, lowered: bytes, end: bytes) -> bool:
        at = lowered.find(end)
        while at >= 0:
            quote = at + len(end) - 1
            if _COLON.match(body, quote + 1) and self._hides_raw(body, quote):
                return True
            at = lowered.find(end, quote)
        return False

    def _hides_raw(self, body: bytes, quote: int) -> bool:
        start = body.rfind(b'"', max(0, quote - _MAX_KEY_BYTES), quote)
        key = body[start + 1 : quote]
        return start < 0 or b"\\" in key or self.hides(key.decode(errors="replace"))


DEFAULT_RULES = Rules()


def redact(body: bytes, rules: Rules = DEFAULT_RULES) -> bytes:
    """The JSON document without its secrets; the very same object when it holds none.

    Every value under a secret key becomes ``[redacted]`` (null, true, false and "" say nothing and stay), and
    so does the part of any text that has a secret's shape. Redacting twice is redacting once.

    Raises:
        PayloadError: suspicious, and no JSON or nested deeper than 200 levels: nothing can be promised of it.
    """
    if not rules.suspects(body):
        return body
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise PayloadError("is not valid JSON") from None
    cleaned = _cleaned(document, rules, depth=0)
    return body if cleaned == document else orjson.dumps(cleaned)


def redact_text(text: str, rules: Rules = DEFAULT_RULES) -> str:
    """The text with everything of a secret's shape replaced; for messages that a person will read."""
    return rules.clean(text)


def _cleaned(value: Any, rules: Rules, *, depth: int) -> Any:  # noqa: ANN401  (JSON is Any)
    if depth > _MAX_DEPTH:
        raise PayloadError(f"is nested deeper than {_MAX_DEPTH} levels")
    match value:
        case str():
            return rules.clean(value)
        case list():
            return [_cleaned(item, rules, depth=depth + 1) for item in value]
        case dict():
            return {
                rules.clean(key): _kept(item)
                if rules.hides(key)
                else _cleaned(item, rules, depth=depth + 1)
                for key, item in value.items()
            }
        case _:
            return value


def _kept(secret: object) -> object:
    return secret if secret is None or secret == "" or isinstance(secret, bool) else REDACTED
