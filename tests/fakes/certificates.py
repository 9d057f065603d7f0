"""A certificate authority of the tests' own, and servers that it vouches for."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_PEM = serialization.Encoding.PEM


class Authority:
    """Made anew each time, so that nobody trusts two of them by accident."""

    def __init__(self, folder: Path, name: str = "an authority of tests") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._signed(self._name, self._key, x509.BasicConstraints(True, None))
        self.pem = certificate.public_bytes(_PEM).decode()

    def server(self, host: str) -> ssl.SSLContext:
        """What a server called ``host`` shows to its clients."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        name = x509.SubjectAlternativeName([x509.DNSName(host)])
        file = self._folder / f"{host}.pem"
        file.write_bytes(self._signed(subject, key, name).public_bytes(_PEM) + key_pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def key_pem(self) -> str:
        """Its private key, which nobody should hand out."""
        return key_pem(self._key).decode()

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, says: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(says, critical=True)
            .sign(self._key, hashes.SHA256())
        )


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as text."""
    unlocked = serialization.NoEncryption()
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, unlocked)
