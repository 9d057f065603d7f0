"""What can go wrong in the actors' domain, sorted by who must act.

TransportError               the action, or whoever asked, comes back later
├── NotSentError             nothing reached the provider; safe to repeat
│   └── RouteError           nor will it, until somebody changes the connection's address, proxy or CA bundle
└── MaybeSentError           the request may have had its effect; look before repeating
DomainError                  the caller
├── WrongStateError          the connection's state does not allow it
├── NotAllowedError          the tenant's policy does not allow it
├── IncapableError           its provider, or the connection, has no such capability
├── CredentialsRefusedError  the provider refuses the new credentials; the old ones stay
├── LoginError               a login that is unknown, over or was denied
└── BusyError                the connection's actor did not answer in time; come back
"""

from __future__ import annotations

from datetime import timedelta


class TransportError(Exception):
    """Root of what the transport raises; the message never holds a URL's query, a body or a token."""


class NotSentError(TransportError):
    """The request certainly did not reach the provider."""


class RouteError(NotSentError):
    """A connection may not lead there, or not by this way; ``reason`` says what ``what`` must be, and no address."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"not sent: {what} {reason}")
        self.reason = reason


class MaybeSentError(TransportError):
    """The request may have reached the provider; its answer did not reach us."""


class DomainError(Exception):
    """Root of what a caller asked wrongly of a connection; the message never holds a secret."""


class WrongStateError(DomainError):
    """The connection's state does not allow it."""


class NotAllowedError(DomainError):
    """The tenant's policy does not allow it."""


class IncapableError(DomainError):
    """The provider, or this connection of it, has no such capability."""


class CredentialsRefusedError(DomainError):
    """The provider does not take the new credentials, or can not be asked; the old ones stay."""


class LoginError(DomainError):
    """The login is unknown, its time is over, it was used, or the person or the provider said no."""


class BusyError(DomainError):
    """The connection's actor did not answer within the deadline; what was asked may still happen."""

    def __init__(self, message: str, *, retry_after: timedelta = timedelta(seconds=2)) -> None:
        super().__init__(message)
        self.retry_after = retry_after
