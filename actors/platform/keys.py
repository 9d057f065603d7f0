"""M33 (key management): it keeps keys, not secrets, so it wraps our data keys and unwraps them.

A key of M33 does 1,000 encryptions a UTC day, and after that refuses decryption too: hence one key there for each
tenant, used to encrypt once. A rotated key refuses decryption at once.
"""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from typing import Any, Protocol

import orjson
from attrs import field, frozen

from actors.platform.errors import (
    PlatformError,
    PlatformMisconfiguredError,
    PlatformRefusedError,
    PlatformUnavailableError,
)
from actors.platform.sibling import Answer, Ask, Sibling
from adapters.contract import Secret

_ALGORITHM = "AES-256-GCM"


@frozen(kw_only=True)
class Wrapped:
    """Bytes that only M33 can open, as it gave them: base64 text, and the id of its key."""

    kms_key_id: str
    algorithm: str
    iv: str = field(repr=False)
    ciphertext: str = field(repr=False)


class KeyService(Protocol):
    """The port to whoever keeps the keys that wrap ours. ``aad`` is bound to the wrapped bytes."""

    async def create_key(self, tenant_id: str) -> str:
        """Make a key for ``tenant_id`` there; returns its id.

        Raises:
            PlatformUnavailableError, PlatformRefusedError, PlatformMisconfiguredError.
        """
        ...

    async def wrap(self, plain: Secret, *, tenant_id: str, kms_key_id: str, aad: bytes) -> Wrapped:
        """Encrypt ``plain`` under that key.

        Raises:
            PlatformUnavailableError: not reachable, or the key's daily limit is reached.
            PlatformRefusedError: it will not (key unknown, rotated or revoked).
            PlatformMisconfiguredError: address or credentials are wrong.
        """
        ...

    async def unwrap(self, wrapped: Wrapped, *, tenant_id: str, aad: bytes) -> Secret:
        """Decrypt what ``wrap`` made.

        Raises:
            PlatformUnavailableError, PlatformMisconfiguredError: as for ``wrap``.
            PlatformRefusedError: as for ``wrap``; INVALID_REQUEST also when ``aad`` is another.
        """
        ...


@frozen(kw_only=True)
class KmsTerms:
    """How this installation speaks to M33.

    ``tenant`` is M33's name of a tenant: ``{tenant}`` in it is replaced by our tenant's id. As shipped, M33 forces
    one tenant for all (``dev-tenant``, or ``mock-tenant`` with a client certificate).
    """

    tenant: str = "{tenant}"
    environment: str = "dev"
    plane: str = "shared"
    approval_token: Secret | None = None
    client_id: str = "integration-adapters"
    client_certificate: str | None = None
    within: timedelta = timedelta(seconds=10)


class KmsKeys:
    """M33 over HTTP."""

    def __init__(self, kms: Sibling, terms: KmsTerms) -> None:
        """Speak to ``kms`` on ``terms``."""
        self._kms = kms
        self._terms = terms

    async def create_key(self, tenant_id: str) -> str:
        """See ``KeyService.create_key``."""
        if self._terms.approval_token is None:
            raise PlatformMisconfiguredError("M33 makes no key without an approval token")
        fields = {
            "key_type": "AES-256",
            "key_usage": ["encrypt", "decrypt"],
            "key_alias": f"integration-adapters/{tenant_id}",
            "approval_token": self._terms.approval_token.value.decode("utf-8"),
        }
        answer = await self._post("/kms/v1/keys", tenant_id, fields)
        if answer.status != 201:
            raise _complaint(answer)
        return _text(answer, "key_id")

    async def wrap(self, plain: Secret, *, tenant_id: str, kms_key_id: str, aad: bytes) -> Wrapped:
        """See ``KeyService.wrap``."""
        fields = {
            "key_id": kms_key_id,
            "plaintext": _base64(plain.value),
            "algorithm": _ALGORITHM,
            "aad": _base64(aad),
        }
        answer = await self._post("/kms/v1/encrypt", tenant_id, fields)
        if answer.status != 200:
            raise _complaint(answer)
        return Wrapped(
            kms_key_id=_text(answer, "key_id"),
            algorithm=_text(answer, "algorithm"),
            iv=_text(answer, "iv"),
            ciphertext=_text(answer, "ciphertext"),
        )

    async def unwrap(self, wrapped: Wrapped, *, tenant_id: str, aad: bytes) -> Secret:
        """See ``KeyService.unwrap``."""
        fields = {
            "key_id": wrapped.kms_key_id,
            "ciphertext": wrapped.ciphertext,
            "iv": wrapped.iv,
            "algorithm": wrapped.algorithm,
            "aad": _base64(aad),
        }
        answer = await self._post("/kms/v1/decrypt", tenant_id, fields)
        if answer.status != 200:
            raise _complaint(answer)
        try:
            plain = base64.b64decode(_text(answer, "plaintext"), validate=True)
        except binascii.Error as error:
            raise answer.senseless() from error
        return Secret(value=plain)

    async def _post(self, path: str, tenant_id: str, fields: dict[str, Any]) -> Answer:
        terms = self._terms
        document = {
            "tenant_id": terms.tenant.replace("{tenant}", tenant_id),
            "environment": terms.environment,
            "plane": terms.plane,
            **fields,
        }
        headers = {"x-client-id": terms.client_id}
        if terms.client_certificate is not None:
            headers["x-client-certificate"] = terms.client_certificate
        ask = Ask(method="POST", path=path, headers=headers, body=orjson.dumps(document))
        return await self._kms.ask(ask, within=terms.within)


def _complaint(answer: Answer) -> PlatformError:
    code, text = answer.complaint()
    if code != "POLICY_VIOLATION":
        return answer.refusal()
    if "daily" in text.casefold():
        return PlatformUnavailableError("M33: the key's limit for today is reached")
    return PlatformRefusedError(answer.sibling, code)


def _text(answer: Answer, name: str) -> str:
    value = answer.document().get(name)
    if not isinstance(value, str) or not value:
        raise answer.senseless()
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
