"""What gives access: sealed secrets, the keys they are sealed under, logins; and requests that may come twice."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text, Uuid

from persistence.schema.columns import METADATA, TIME, of_connection, of_tenant, times, where

SEALED_SECRETS = Table(
    "sealed_secrets",
    METADATA,
    *of_tenant("secret_id"),
    *of_connection(),
    Column("purpose", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("key_id", Uuid, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("expires_at", TIME),
    *times(),
    Index(
        "uq_sealed_secrets_version",
        "tenant_id",
        "connection_id",
        "purpose",
        "version",
        unique=True,
        **where("purpose IN ('auth', 'webhook')"),
    ),
    Index("ix_sealed_secrets_connection", "tenant_id", "connection_id", "purpose"),
    Index("ix_sealed_secrets_expires_at", "expires_at", **where("expires_at IS NOT NULL")),
)

TENANT_KEYS = Table(
    "tenant_keys",
    METADATA,
    *of_tenant("key_id"),
    Column("version", Integer, nullable=False),
    Column("kms_key_id", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("iv", Text, nullable=False),
    Column("ciphertext", Text, nullable=False),
    *times(),
    Index("uq_tenant_keys_version", "tenant_id", "version", unique=True),
)

LOGINS = Table(
    "logins",
    METADATA,
    *of_tenant("login_id"),
    *of_connection(),
    Column("state_hash", LargeBinary, nullable=False),
    Column("verifier_ref", Uuid, nullable=False),
    Column("subject", Text, nullable=False),
    Column("return_to", Text),
    Column("expires_at", TIME, nullable=False),
    *times(),
    Index("uq_logins_connection", "tenant_id", "connection_id", unique=True),
    Index("uq_logins_state_hash", "tenant_id", "state_hash", unique=True),
    Index("ix_logins_state_hash", "state_hash"),
    Index("ix_logins_expires_at", "expires_at"),
)

# ``expires_at``: of a claim without an answer, when it may be taken over. The sealed answer stands here and not among
# the sealed secrets, because it ends with its request and may be of a connection that was never made.
REQUESTS = Table(
    "requests",
    METADATA,
    *of_tenant("request_id"),
    Column("key", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("expires_at", TIME, nullable=False),
    Column("status", Integer),
    Column("secret_id", Uuid),
    Column("connection_id", Uuid),
    Column("purpose", Text),
    Column("version", Integer),
    Column("key_id", Uuid),
    Column("nonce", LargeBinary),
    Column("ciphertext", LargeBinary),
    Column("sealed_at", TIME),
    Column("sealed_until", TIME),
    *times(),
    Index("uq_requests_key", "tenant_id", "key", unique=True),
    Index("ix_requests_expires_at", "expires_at"),
)
