"""What an adapter may say is wrong, sorted by who must act.

AdapterError
├── SignatureError        the sender: nothing it sent can be trusted (401)
├── PayloadError          the sender: verified bytes that are no such document (400; parked when found later)
├── UnknownProviderError  the caller: no adapter of that name (404)
├── ActionError           the caller: an action this provider can not carry out as it stands (422)
├── SettingsError         the caller: what a connection is told is not what its provider needs (422)
└── CredentialsError      a person: credentials that can not be used, or not by this provider (422)
"""

from __future__ import annotations


class AdapterError(Exception):
    """Root of all that an adapter raises; the message never holds a body, a secret or a signature."""


class SignatureError(AdapterError):
    """The bytes are not proven to be the provider's: missing, malformed or wrong signature."""


class PayloadError(AdapterError):
    """The document lacks what its kind must have; ``path`` says where."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class UnknownProviderError(AdapterError):
    """No adapter is registered under ``provider_id``."""

    def __init__(self, provider_id: str) -> None:
        super().__init__(f"no adapter for provider {provider_id!r}")
        self.provider_id = provider_id


class ActionError(AdapterError):
    """The action can not be planned; ``field`` names what is wrong with it, as a JSON path."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class SettingsError(AdapterError):
    """What a connection is told is not what its provider needs; ``field`` is a JSON path."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class CredentialsError(AdapterError):
    """Credentials that can not be read or are not of this provider's kinds; never says what is in them."""
