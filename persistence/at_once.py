"""An action's two hot transactions, each as one statement of PostgreSQL's: one round trip instead of five and of eight.

Each does the whole of its transaction (``journal.intend``, ``endings.settle``), or nothing; then no row comes back, and
the transaction itself is run, which does it or says why not. What makes one statement as safe as several:

- All parts of a statement see the database as it was when it began, though it may wait for locks meanwhile. What must
  be fresh is therefore a row that is locked (or updated) here: PostgreSQL looks at such a row again once it has it.
- Locks are taken in the order of the transactions (the connection's row, the action's, the tenant's chain), because each
  part reads from the one before it.
"""

from __future__ import annotations

from persistence.chain import measured
from persistence.endings import Ending
from persistence.journal import written
from persistence.receipts import chain_id
from persistence.records import ExchangeRecord, Lease
from persistence.values import canonical, document, kept_or_none

_FENCED = """fenced AS (
    SELECT tenant_id, connection_id FROM integration_connections
    WHERE tenant_id = $1 AND connection_id = $2 AND epoch = $3 {only} FOR NO KEY UPDATE)"""
# Whoever wrote to the journal before did so in this lease, and is done, or in an earlier one: that waits for the fence.
_AS_KNOWN = """({known}::integer IS NULL OR {known}::integer = (SELECT count(*) FROM exchanges k
        WHERE k.tenant_id = a.tenant_id AND k.action_id = a.action_id))"""
INTEND = f"""WITH {_FENCED.format(only="AND state = 'active'")},
queued AS (
    SELECT a.action_id FROM fenced f JOIN normalised_actions a
        ON a.tenant_id = f.tenant_id AND a.connection_id = f.connection_id
    WHERE a.action_id = $4 AND a.state = 'queued' AND {_AS_KNOWN.format(known="$13")} FOR SHARE OF a)
INSERT INTO exchanges (exchange_id, tenant_id, connection_id, action_id, step, digest, state, sent_at, created_at,
    updated_at, status, headers, body)
SELECT $5, $1, $2, q.action_id, $6, $7, $8, $9, $9, $9, $10, $11, $12 FROM queued q RETURNING exchange_id"""  # noqa: S608
# ``persistence.chain.link``, of which ``$13`` is the part that does not depend on the chain.
_MEASURED = "int4send(octet_length({field})) || {field}"
_NUMBER = "convert_to(number::text, 'UTF8')"
_INSTANT = """convert_to((extract(epoch FROM date_trunc('second', stamp))::bigint * 1000000
        + extract(microseconds FROM stamp)::bigint % 1000000)::text, 'UTF8')"""
_LINK = " || ".join(
    (
        _MEASURED.format(field=_NUMBER),
        _MEASURED.format(field=_INSTANT),
        "$13::bytea",
        _MEASURED.format(field="previous"),
    )
)
# A chain is never removed, so one that was there when the statement began is there when it is locked.
SETTLE = f"""WITH {_FENCED.format(only="")},
settled AS (
    UPDATE normalised_actions AS a SET state = $5, reason = $6, outcome = $7, updated_at = $8, ended_at = $8
    FROM fenced f WHERE a.tenant_id = f.tenant_id AND a.connection_id = f.connection_id AND a.action_id = $4
        AND a.state = 'queued' AND {_AS_KNOWN.format(known="$19")} AND EXISTS (SELECT 1 FROM receipt_chains c
            WHERE c.tenant_id = $1 AND c.chain_id = $9 AND c.last_digest IS NOT NULL)
    RETURNING a.*),
answered AS (
    UPDATE exchanges AS e SET headers = NULL, body = NULL, updated_at = $8,
        state = CASE WHEN e.exchange_id = $16 THEN $17 ELSE e.state END,
        status = CASE WHEN e.exchange_id = $16 THEN $18 ELSE e.status END
    FROM settled s WHERE e.tenant_id = s.tenant_id AND e.action_id = s.action_id),
head AS (
    SELECT c.length + 1 AS number, greatest($14, c.last_stamped_at + interval '1 microsecond') AS stamp,
        c.last_digest AS previous
    FROM settled s JOIN receipt_chains c ON c.tenant_id = s.tenant_id AND c.chain_id = $9 FOR UPDATE OF c),
link AS (SELECT number, stamp, previous, sha256({_LINK}) AS digest FROM head),
lengthened AS (
    UPDATE receipt_chains AS c SET length = l.number, last_stamped_at = l.stamp, last_digest = l.digest,
        updated_at = $14
    FROM link l WHERE c.tenant_id = $1 AND c.chain_id = $9),
written AS (
    INSERT INTO receipts (receipt_id, tenant_id, connection_id, operation, body, state, sequence_no, stamped_at,
        previous, digest, created_at, updated_at)
    SELECT $10, $1, $15, $11, $12, 'waiting', l.number, l.stamp, l.previous, l.digest, $14, $14 FROM link l)
SELECT s.*, EXISTS (SELECT 1 FROM normalised_actions q WHERE q.tenant_id = $1 AND q.connection_id = $2
    AND q.state = 'queued' AND q.action_id <> $4) AS more
FROM settled s"""  # noqa: S608 - only text of ours


def intend(lease: Lease, exchange: ExchangeRecord, journalled: int | None) -> tuple[object, ...]:
    """The arguments of ``INTEND``."""
    return (
        lease.tenant_id,
        lease.connection_id,
        lease.epoch,
        exchange.action_id,
        exchange.exchange_id,
        *written(exchange),
        journalled,
    )


def settle(lease: Lease, ending: Ending) -> tuple[object, ...]:
    """The arguments of ``SETTLE``."""
    receipt, answered = ending.receipt, ending.answered
    body = canonical(receipt.body)
    of_itself = (receipt.receipt_id.bytes, receipt.operation.encode(), body.encode())
    return (
        lease.tenant_id,
        lease.connection_id,
        lease.epoch,
        ending.action_id,
        ending.state,
        kept_or_none(ending.reason),
        document(ending.outcome),
        ending.now,
        chain_id(lease.tenant_id),
        receipt.receipt_id,
        receipt.operation,
        body,
        b"".join(measured(field) for field in of_itself),
        receipt.created_at,
        receipt.connection_id,
        None if answered is None else answered.exchange_id,
        None if answered is None else answered.state,
        None if answered is None else answered.status,
        ending.journalled,
    )
