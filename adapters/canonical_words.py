"""The simple words that canonical actions are made of: names, texts, numbers, each with its bounds.

What people and places are called is the provider's: a login, a channel's id, a project's key.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

# ``$`` alone lets a line end follow it in Python, and not in JSON Schema.
_END = r"$(?!\n)"
_LINE = r"^(?![^\r\n]*[\r\n])[^\r\n]*\S"
_SEGMENT = r"(?!\.{1,2}(?:/|$))[0-9A-Za-z_.-]+"

Number: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Name: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=_LINE, description="One line.")
]
Title: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=1_000, pattern=_LINE, description="One line.")
]
Text: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=262_144, pattern=r"\S", description="Markdown.")
]
AnyText: TypeAlias = Annotated[
    str, Meta(max_length=262_144, description="Markdown; empty to leave nothing there.")
]
Url: TypeAlias = Annotated[
    str, Meta(max_length=2_000, pattern=rf"^https?://[^\s<>\"]+{_END}", description="A web page.")
]
Id: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=500,
        pattern=rf"^[!-~]+{_END}",
        description="The provider's own id; visible ASCII.",
    ),
]
Repository: TypeAlias = Annotated[
    str,
    Meta(
        max_length=500,
        pattern=rf"^{_SEGMENT}(?:/{_SEGMENT})+{_END}",
        description="owner/name; with every group between them where the provider has groups.",
    ),
]
Commit: TypeAlias = Annotated[
    str,
    Meta(pattern=rf"^(?:[0-9a-f]{{40}}|[0-9a-f]{{64}}){_END}", description="The whole hash."),
]
Address: TypeAlias = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=rf"^[^\s@<>,;:\"]{{1,64}}@[^\s@<>,;:\"]+{_END}",
        description="A mail address, without a name.",
    ),
]
PlainText: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=262_144, pattern=r"\S", description="Shown as it is.")
]
Names: TypeAlias = Annotated[tuple[Name, ...], Meta(max_length=100)]
SomeNames: TypeAlias = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=100)]
