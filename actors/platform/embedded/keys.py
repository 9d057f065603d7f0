"""M33 (key management) for development and tests: AES-256 keys, encrypt, decrypt, rotate and revoke, nothing else.

Like the real one: one tenant is forced on everybody, any caller may use any key whose id it knows, keys need an
approval token, the daily limit stops decryption too, and a rotated key refuses decryption at once.
Unlike it: with ``save`` and ``state`` keys outlive the process, so that a development node can be restarted;
without them they are forgotten as there.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from attrs import asdict, field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from actors.platform.embedded.answers import (
    bare_error,
    body_of,
    demand,
    detail,
    error,
    fault,
    unprocessable,
)
from actors.platform.embedded.controls import Controls
from actors.platform.embedded.limits import RateLimit
from adapters.contract import Request, Response
from adapters.simulation import Reply, as_json

_ENVIRONMENTS = ("dev", "staging", "prod")
_PLANES = ("laptop", "tenant", "product", "shared")
_CIPHERS: Mapping[str, type[AESGCM | ChaCha20Poly1305]] = {
    "AES-256-GCM": AESGCM,
    "CHACHA20-POLY1305": ChaCha20Poly1305,
}
_SHORTEST_APPROVAL = 10
_DAILY_USES = 1000
_NONCE_BYTES = 12


@frozen(kw_only=True)
class _Key:
    key_id: str
    tenant_id: str
    value: str = field(repr=False)
    """Base64."""
    state: str = "active"


class KeyManagement:
    """M33's state: its keys and how often each was used today."""

    def __init__(
        self,
        *,
        entropy: Callable[[int], bytes],
        state: bytes | None = None,
        save: Callable[[bytes], None] | None = None,
    ) -> None:
        """Start with the keys in ``state``, which ``save`` was called with; it is called after every change."""
        self._entropy = entropy
        self._save = save
        self._keys = {entry["key_id"]: _Key(**entry) for entry in orjson.loads(state or b"[]")}
        self._uses: dict[tuple[str, str], int] = {}
        self._limit = RateLimit((100, 1), (500, 10))
        self._controls = Controls(self._perform, {("POST", "/_sim/forget"): self._restart})

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer as M33 does."""
        return self._controls.handle(request, now=now)

    def _perform(self, request: Request, now: datetime) -> Response:
        path = urlsplit(request.url).path
        if request.method == "GET" and path in {"/health", "/kms/v1/health"}:
            return as_json(200, {"status": "healthy"})
        if not self._limit.admits(request.header("x-client-id") or "", now=now):
            raise bare_error(429, "RATE_LIMITED", "Rate limit exceeded", retry_after=1)
        day = now.date().isoformat()
        match request.method, path.removeprefix("/kms/v1").split("/"):
            case "POST", ["", "keys"]:
                return self._create(request)
            case "POST", ["", "encrypt"]:
                return self._encrypt(request, day)
            case "POST", ["", "decrypt"]:
                return self._decrypt(request, day)
            case "POST", ["", "keys", key_id, "rotate"]:
                return self._retire(request, key_id, "pending_rotation")
            case "POST", ["", "keys", key_id, "revoke"]:
                return self._retire(request, key_id, "revoked")
            case _:
                raise detail(404, "Not Found")

    def _create(self, request: Request) -> Response:
        body = _body(request, key_type=str, key_usage=list)
        if body["key_type"] != "AES-256":
            raise error(400, "INVALID_REQUEST", "only AES-256 is embedded")
        if body["tenant_id"] != _forced_tenant(request):
            raise error(403, "UNAUTHORIZED", "Tenant does not match the caller's identity")
        _demand_approval(request, body)
        key = self._new_key(body["tenant_id"])
        return as_json(201, {"key_id": key.key_id, "public_key": key.value})

    def _encrypt(self, request: Request, day: str) -> Response:
        body = _body(request, key_id=str, plaintext=str)
        key = self._usable(body, day)
        self._uses[key.key_id, day] = self._uses.get((key.key_id, day), 0) + 1
        algorithm = str(body.get("algorithm") or "AES-256-GCM")
        nonce = self._entropy(_NONCE_BYTES)
        sealed = _cipher(algorithm, key).encrypt(nonce, _decoded(body, "plaintext"), _aad(body))
        answer = {"ciphertext": _text(sealed), "iv": _text(nonce), "algorithm": algorithm}
        return as_json(200, {**answer, "key_id": key.key_id})

    def _decrypt(self, request: Request, day: str) -> Response:
        body = _body(request, key_id=str, ciphertext=str, iv=str)
        key = self._usable(body, day)
        cipher = _cipher(str(body.get("algorithm") or "AES-256-GCM"), key)
        try:
            plain = cipher.decrypt(_decoded(body, "iv"), _decoded(body, "ciphertext"), _aad(body))
        except (InvalidTag, ValueError) as reason:
            raise error(400, "INVALID_REQUEST", "Decryption failed") from reason
        return as_json(200, {"plaintext": _text(plain), "key_id": key.key_id})

    def _usable(self, body: dict[str, Any], day: str) -> _Key:
        key = self._known(body["key_id"])
        if key.tenant_id != body["tenant_id"]:
            raise error(403, "UNAUTHORIZED", "Key belongs to another tenant")
        if key.state != "active":
            code = "KEY_REVOKED" if key.state == "revoked" else "KEY_INACTIVE"
            raise error(409, code, f"Key is {key.state}")
        if self._uses.get((key.key_id, day), 0) >= _DAILY_USES:
            raise error(403, "POLICY_VIOLATION", "Daily usage limit exceeded")
        return key

    def _retire(self, request: Request, key_id: str, state: str) -> Response:
        body = _body(request)
        key = self._known(key_id)
        _demand_approval(request, body)
        self._keep(_Key(key_id=key_id, tenant_id=key.tenant_id, value=key.value, state=state))
        if state == "revoked":
            return as_json(200, {"key_id": key_id, "status": state})
        return as_json(
            200, {"old_key_id": key_id, "new_key_id": self._new_key(key.tenant_id).key_id}
        )

    def _known(self, key_id: str) -> _Key:
        if key_id not in self._keys:
            raise error(404, "KEY_NOT_FOUND", "Key not found")
        return self._keys[key_id]

    def _new_key(self, tenant_id: str) -> _Key:
        key_id = str(UUID(bytes=self._entropy(16), version=4))
        key = _Key(key_id=key_id, tenant_id=tenant_id, value=_text(self._entropy(32)))
        self._keep(key)
        return key

    def _keep(self, key: _Key) -> None:
        self._keys[key.key_id] = key
        if self._save is not None:
            self._save(orjson.dumps([asdict(kept) for kept in self._keys.values()]))

    def _restart(self, request: Request) -> Response:
        self._keys.clear()
        self._uses.clear()
        return as_json(200, {"keys": 0})


def _forced_tenant(request: Request) -> str:
    return "mock-tenant" if request.header("x-client-certificate") else "dev-tenant"


def _body(request: Request, **kinds: type) -> dict[str, Any]:
    body = body_of(request)
    demand(body, tenant_id=str, environment=str, plane=str, **kinds)
    for name, allowed in (("environment", _ENVIRONMENTS), ("plane", _PLANES)):
        if body[name] not in allowed:
            raise unprocessable([fault("enum", (name,), "Input is not valid", body[name])])
    return body


def _demand_approval(request: Request, body: dict[str, Any]) -> None:
    approval = body.get("approval_token") or request.header("x-approval-token") or ""
    if len(str(approval)) < _SHORTEST_APPROVAL:
        raise error(403, "UNAUTHORIZED", "Approval required")


def _cipher(algorithm: str, key: _Key) -> AESGCM | ChaCha20Poly1305:
    if algorithm not in _CIPHERS:
        raise error(400, "INVALID_REQUEST", "Unknown algorithm")
    return _CIPHERS[algorithm](base64.b64decode(key.value))


def _aad(body: dict[str, Any]) -> bytes | None:
    given = body.get("aad")
    return None if given is None else str(given).encode()


def _decoded(body: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(body[name], validate=True)
    except (binascii.Error, ValueError) as reason:
        raise error(400, "INVALID_REQUEST", f"{name} is no base64") from reason


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
