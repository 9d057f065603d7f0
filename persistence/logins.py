"""Transactions about OAuth 2.0 flows under way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import evolve

from persistence.changes import LoginRecord
from persistence.dialect import Query, Row, Transaction, query, shared
from persistence.leases import lock
from persistence.life_rows import login_of
from persistence.records import SealedSecret
from persistence.sealed import forget_secrets, insert_secret, of_one_connection
from persistence.values import kept, uuid_of

_END_OLDER = shared(
    "DELETE FROM logins WHERE tenant_id = $1 AND connection_id = $2 RETURNING verifier_ref"
)
_BEGIN = shared(
    """INSERT INTO logins (login_id, tenant_id, connection_id, state_hash, verifier_ref, subject, return_to, expires_at,
        created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)"""
)
_TAKE = shared("DELETE FROM logins WHERE state_hash = $1 RETURNING *")


def begin(login: LoginRecord, verifier: SealedSecret) -> Transaction[None]:
    """See ``LoginStore.begin_login``; the verifier ends with its flow."""
    place = (login.tenant_id, login.connection_id)
    of_one_connection(place, [verifier])
    if verifier.secret_id != login.verifier_ref:
        raise ValueError("the verifier of another flow")
    yield from lock(*place)
    older = yield query(_END_OLDER, *place)
    if older:
        yield forget_secrets(place, [uuid_of(row["verifier_ref"]) for row in older])
    yield insert_secret(evolve(verifier, expires_at=login.expires_at))
    yield query(
        _BEGIN,
        login.login_id,
        *place,
        login.state_hash,
        login.verifier_ref,
        kept(login.subject),
        login.return_to,
        login.expires_at,
        login.created_at,
    )


def take(state_hash: bytes) -> Query:
    """End the flow of a state, and get it; the state is 256 bits of chance, so it is nobody else's."""
    return query(_TAKE, state_hash)


def taken_of(rows: Sequence[Row], *, now: datetime) -> LoginRecord | None:
    """Read the rows of ``take``."""
    found = [login for login in map(login_of, rows) if login.expires_at > now]
    return found[0] if found else None
