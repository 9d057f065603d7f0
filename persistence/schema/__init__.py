"""The tables, for migrations and for those who read the database; queries are written in SQL elsewhere.

``tenant_id`` comes first in each key, so that the schema can be distributed by tenant. JSONB holds what operators
look into; BYTEA holds what must come back byte for byte (bodies, envelopes, payloads, kept answers), is never
queried, and may carry what JSONB refuses (U+0000). A receipt's body is text: it is hashed as it is kept, and can
still be cast to JSONB. ``position`` orders rows: an identity on PostgreSQL, counted up inside the INSERT by SQLite's
single writer.
"""

from __future__ import annotations

from persistence.schema import access, actions, connections, evidence, flows, polls
from persistence.schema.columns import METADATA

__all__ = [
    "METADATA",
    "REVISION",
    "access",
    "actions",
    "connections",
    "evidence",
    "flows",
    "polls",
]

REVISION = "0004"
"""The revision this program is written for: the newest in ``migrations/versions``."""
