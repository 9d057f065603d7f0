"""What a sibling module may say is wrong, sorted by who must act.

PlatformError
├── PlatformUnavailableError    nobody: it is down, slow or busy; come back after ``retry_after``
├── PlatformRefusedError        the caller: its answer is a clear no, with a code
├── PlatformMisconfiguredError  the operator: credentials or address are wrong
├── BatchMalformedError         the caller: PM-3 took nothing of the batch; look for the malformed envelope
├── InvalidTokenError           the caller of our API: the token proves nobody (401)
└── SecretLostError             a person: the sealed secret is gone, over, or not openable; enter it again
"""

from __future__ import annotations

from datetime import timedelta


class PlatformError(Exception):
    """Root of what the ports to the sibling modules raise; no message holds a body, a secret or a token."""


class PlatformUnavailableError(PlatformError):
    """No answer, or one that says "not now". What was asked may have been done all the same."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PlatformRefusedError(PlatformError):
    """The sibling understood and said no; ``code`` is its own word for why."""

    def __init__(self, sibling: str, code: str) -> None:
        super().__init__(f"{sibling} refused: {code}")
        self.code = code


class PlatformMisconfiguredError(PlatformError):
    """Asking again can not help before an operator changes the credentials or the address."""


class BatchMalformedError(PlatformError):
    """At least one envelope is malformed, and for its sake the whole batch was refused."""


class InvalidTokenError(PlatformError):
    """The token is not proven to be anybody's; the message names the rule it broke, never the token."""


class SecretLostError(PlatformError):
    """The sealed secret can not be had back; no retry brings it."""
