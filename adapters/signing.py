"""Checking that bytes are a provider's: HMAC over the raw body, in constant time.

The comparison of signatures exists only here. It compares bytes: ``compare_digest`` refuses non-ASCII text with
a TypeError, which a hostile header could cause.
"""

from __future__ import annotations

import hashlib
import hmac

from adapters.contract import Secret
from adapters.errors import SignatureError


def hmac_hex(signed: bytes, *, secret: Secret) -> str:
    """HMAC-SHA256 of ``signed`` in lower-case hex."""
    return hmac.new(secret.value, signed, hashlib.sha256).hexdigest()


def verify_hmac_hex(
    signed: bytes, claimed: str | None, *, secrets: tuple[Secret, ...], prefix: str = ""
) -> str:
    """Check a claimed HMAC-SHA256 against every current secret; returns the signature that fitted, in hex.

    Several secrets are current while one is rotated; all are tried, whichever fits. ``prefix`` is what the
    provider puts before the hex (``sha256=``).

    Raises:
        SignatureError: no secret, no claim, or no secret fits. An empty secret counts as none.
    """
    usable = [secret for secret in secrets if secret.value]
    if not usable:
        raise SignatureError("no signing secret is configured")
    if claimed is None:
        raise SignatureError("the signature is missing")
    heard = claimed.encode(errors="replace")
    fitting = ""
    for secret in usable:
        expected = hmac_hex(signed, secret=secret)
        if hmac.compare_digest(f"{prefix}{expected}".encode(), heard):
            fitting = expected
    if not fitting:
        raise SignatureError("the signature does not fit")
    return fitting
