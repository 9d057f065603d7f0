"""What revision 0003 does with receipts of before there was a chain: each gets its place in its tenant's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import sqlalchemy as sa

from persistence.chain import START, following, link
from persistence.values import time_of, time_or_none

_ROWS_AT_ONCE = 500
_STAMP = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
_RECEIPTS = sa.table(
    "receipts",
    sa.column("tenant_id", sa.Text),
    sa.column("receipt_id", sa.Uuid),
    sa.column("position", sa.BigInteger),
    sa.column("operation", sa.Text),
    sa.column("body", sa.Text),
    sa.column("created_at", _STAMP),
    sa.column("stamped_at", _STAMP),
    sa.column("sequence_no", sa.BigInteger),
    sa.column("previous", sa.LargeBinary),
    sa.column("digest", sa.LargeBinary),
)
_CHAINS = sa.table(
    "receipt_chains",
    sa.column("tenant_id", sa.Text),
    sa.column("chain_id", sa.Uuid),
    sa.column("last_stamped_at", _STAMP),
    sa.column("last_digest", sa.LargeBinary),
    sa.column("length", sa.BigInteger),
    sa.column("created_at", _STAMP),
    sa.column("updated_at", _STAMP),
)


def chain_all(bind: sa.Connection) -> None:
    """Chain the receipts of every tenant: the stamped ones as they left, the others in the order they were written.

    What was stamped keeps its stamp, so that a batch under way is the same when it is sent again.
    """
    for tenant_id in bind.scalars(sa.select(_RECEIPTS.c.tenant_id).distinct()).all():
        _chain(bind, tenant_id)


def _chain(bind: sa.Connection, tenant_id: str) -> None:
    its_chain = _CHAINS.c.tenant_id == tenant_id
    last = time_or_none(bind.scalar(sa.select(_CHAINS.c.last_stamped_at).where(its_chain)))
    previous, number = START, 0
    place = sa.update(_RECEIPTS).where(
        _RECEIPTS.c.tenant_id == tenant_id, _RECEIPTS.c.receipt_id == sa.bindparam("its_id")
    )
    for page in _pages(bind, tenant_id):
        places = []
        for row in page:
            number += 1
            stamp = time_or_none(row.stamped_at) or following(last, time_of(row.created_at))
            last = stamp if last is None else max(last, stamp)
            bound = (row.receipt_id, row.operation, row.body.encode(), previous)
            digest = link(number, stamp, *bound)
            places.append(
                {
                    "its_id": row.receipt_id,
                    "sequence_no": number,
                    "stamped_at": _kept(bind, stamp),
                    "previous": previous,
                    "digest": digest,
                }
            )
            previous = digest
        bind.execute(place, places)
    end = {"last_stamped_at": _kept(bind, last), "last_digest": previous, "length": number}
    if not bind.execute(sa.update(_CHAINS).where(its_chain).values(**end)).rowcount:
        chain_id = uuid5(NAMESPACE_URL, tenant_id)
        made = {"created_at": end["last_stamped_at"], "updated_at": end["last_stamped_at"]}
        key = {"tenant_id": tenant_id, "chain_id": chain_id}
        bind.execute(sa.insert(_CHAINS).values(**key, **made, **end))


def _pages(bind: sa.Connection, tenant_id: str) -> Iterator[list[Any]]:
    """The tenant's receipts in the order of their chain; only their ids are held all at once."""
    unstamped = sa.case((_RECEIPTS.c.stamped_at.is_(None), 1), else_=0)
    order = (unstamped, _RECEIPTS.c.stamped_at, _RECEIPTS.c.position)
    its = sa.select(_RECEIPTS.c.receipt_id).where(_RECEIPTS.c.tenant_id == tenant_id)
    ids = bind.scalars(its.order_by(*order)).all()
    for at in range(0, len(ids), _ROWS_AT_ONCE):
        its_ids = _RECEIPTS.c.receipt_id.in_(ids[at : at + _ROWS_AT_ONCE])
        page = sa.select(_RECEIPTS).where(_RECEIPTS.c.tenant_id == tenant_id, its_ids)
        yield list(bind.execute(page.order_by(*order)).all())


def _kept(bind: sa.Connection, at: datetime | None) -> object:
    """A time as either engine keeps it."""
    if at is None or bind.dialect.name == "postgresql":
        return at
    return at.astimezone(UTC).isoformat(timespec="microseconds")
