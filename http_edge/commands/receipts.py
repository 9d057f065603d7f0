"""``receipts``: a tenant's evidence, out of the database, and the proof that none of it was changed."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import BinaryIO

import click

from http_edge.commands.chain_lines import (
    LONGEST_LINE_BYTES,
    Proof,
    proven,
    proven_lines,
    summary,
    written,
)
from http_edge.commands.running import run, settings_from
from persistence.changes import ChainedReceipt
from persistence.opening import open_store
from persistence.store import Store

_PAGE = 500
_NOT_WHOLE = 1
_NO_STORE = 3


@click.group()
def receipts() -> None:
    """The receipts of what was done, chained by their digests."""


@receipts.command()
@click.option("--tenant", "tenant_id", required=True)
@click.option("--after", type=click.IntRange(min=0), default=0, help="only those behind number N")
@click.pass_obj
def export(environ: Mapping[str, str], tenant_id: str, after: int) -> None:
    """Write a tenant's receipts as JSON lines, from the database that the settings name."""
    url = settings_from(environ).database_url

    async def write() -> None:
        async with open_store(url) as store, aclosing(_kept(store, tenant_id, after)) as kept:
            async for receipt in kept:
                click.echo(written(receipt), nl=False)

    run(write, exit_code=_NO_STORE)


@receipts.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--tenant", "tenant_id", help="as they are in the database that the settings name")
@click.pass_obj
def verify(environ: Mapping[str, str], file: BinaryIO | None, tenant_id: str | None) -> None:
    """Prove an export (- for stdin; needs no settings and no database), or what is kept of a tenant."""
    if tenant_id is not None and file is None:
        url = settings_from(environ).database_url
        proof = run(partial(_proven, url, tenant_id), exit_code=_NO_STORE)
    elif file is not None and tenant_id is None:
        proof = proven_lines(iter(partial(file.readline, LONGEST_LINE_BYTES), b""))
    else:
        raise click.UsageError("name a file or --tenant")
    click.echo(summary(proof))
    if proof.trouble is not None:
        click.echo(f"broken: {proof.trouble}", err=True)
    if proof.trouble is not None or proof.last is None:
        sys.exit(_NOT_WHOLE)


async def _proven(url: str, tenant_id: str) -> Proof:
    async with open_store(url) as store, aclosing(_kept(store, tenant_id, 0)) as kept:
        return await proven(kept)


async def _kept(store: Store, tenant_id: str, after: int) -> AsyncGenerator[ChainedReceipt, None]:
    while page := await store.chained_receipts(tenant_id, after=after, limit=_PAGE):
        for receipt in page:
            yield receipt
        after = page[-1].sequence_no
