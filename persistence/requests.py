"""Transactions about requests with an Idempotency-Key."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from persistence.changes import ClaimedRequest, RequestAnswer, RequestClaim, RequestState
from persistence.dialect import Query, Row, Transaction, query, shared
from persistence.errors import ConflictError
from persistence.life_rows import answer_of
from persistence.values import kept, uuid_of

# One statement decides who carries the request out. A row that it does not change it locks all the same, so that the
# look that follows in this transaction finds it. An answer whose time is over is forgotten: the key begins anew.
_CLAIM = shared(
    """INSERT INTO requests (request_id, tenant_id, key, digest, expires_at, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $6)
    ON CONFLICT (tenant_id, key) DO UPDATE SET request_id = excluded.request_id, digest = excluded.digest,
        expires_at = excluded.expires_at, created_at = excluded.created_at, updated_at = excluded.updated_at,
        status = NULL, secret_id = NULL, connection_id = NULL, purpose = NULL, version = NULL, key_id = NULL,
        nonce = NULL, ciphertext = NULL, sealed_at = NULL, sealed_until = NULL
    WHERE requests.expires_at <= excluded.created_at
        AND (requests.status IS NOT NULL OR requests.digest = excluded.digest)
    RETURNING request_id"""
)
_OF_KEY = shared("SELECT * FROM requests WHERE tenant_id = $1 AND key = $2")
_FINISH = shared(
    """UPDATE requests SET status = $3, expires_at = $4, secret_id = $5, connection_id = $6, purpose = $7,
        version = $8, key_id = $9, nonce = $10, ciphertext = $11, sealed_at = $12, sealed_until = $13, updated_at = $12
    WHERE tenant_id = $1 AND request_id = $2 AND status IS NULL RETURNING request_id"""
)
_DROP = shared("DELETE FROM requests WHERE tenant_id = $1 AND request_id = $2 AND status IS NULL")


def claim(asked: RequestClaim) -> Transaction[ClaimedRequest]:
    """See ``LoginStore.claim_request``."""
    name = kept(asked.key)
    claimed = yield query(
        _CLAIM,
        asked.request_id,
        asked.tenant_id,
        name,
        asked.digest,
        asked.until,
        asked.created_at,
    )
    if claimed:
        return ClaimedRequest(state=RequestState.FRESH, request_id=asked.request_id)
    rows = yield query(_OF_KEY, asked.tenant_id, name)
    return _found(rows, asked)


def _found(rows: Sequence[Row], asked: RequestClaim) -> ClaimedRequest:
    (row,) = rows
    if row["digest"] != asked.digest:
        raise ConflictError("the idempotency key was used for another request")
    if row["status"] is None:
        return ClaimedRequest(state=RequestState.RUNNING, request_id=uuid_of(row["request_id"]))
    answer = answer_of(row)
    return ClaimedRequest(state=RequestState.DONE, request_id=answer.request_id, answer=answer)


def finish(answer: RequestAnswer) -> Transaction[None]:
    """See ``LoginStore.finish_request``."""
    sealed = answer.sealed
    if sealed.tenant_id != answer.tenant_id:
        raise ValueError("an answer sealed for another tenant")
    finished = yield query(
        _FINISH,
        answer.tenant_id,
        answer.request_id,
        answer.status,
        answer.expires_at,
        sealed.secret_id,
        sealed.connection_id,
        sealed.purpose,
        sealed.version,
        sealed.key_id,
        sealed.nonce,
        sealed.ciphertext,
        sealed.created_at,
        sealed.expires_at,
    )
    if not finished:
        raise ConflictError("the request's claim is not this one's any more")


def drop(tenant_id: str, request_id: UUID) -> Query:
    """Give a claim back."""
    return query(_DROP, tenant_id, request_id)
