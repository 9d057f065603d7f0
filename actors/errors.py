"""What can go wrong between an actor and a provider, sorted by whether it may have happened.

TransportError
├── NotSentError    nothing reached the provider; safe to repeat
└── MaybeSentError  the request may have had its effect; look before repeating
"""

from __future__ import annotations


class TransportError(Exception):
    """Root of what the transport raises; the message never holds a URL's query, a body or a token."""


class NotSentError(TransportError):
    """The request certainly did not reach the provider."""


class MaybeSentError(TransportError):
    """The request may have reached the provider; its answer did not reach us."""
