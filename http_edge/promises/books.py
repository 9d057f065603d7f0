"""The books: the ledger of deliveries, and the receipts of what was done."""

from __future__ import annotations

import orjson

from http_edge import child
from http_edge.promises.show import PATIENCE_S, Show
from http_edge.stage import Stage, until


async def accounting(show: Show) -> None:
    """Every delivery is accounted for, and the node ends when it is told to."""
    stage = show.stage
    await until(stage.is_settled, within_s=PATIENCE_S)
    ledger, signals = await stage.ledger(), await stage.signals()
    distinct = len({signal["signal_id"] for signal in signals})
    show.check(
        "the accounting adds up (P9)",
        ledger["difference"] == 0
        and ledger["pending"] == ledger["settled"] == 0
        and ledger["accepted"] == ledger["forwarded"] + ledger["parked"]
        and ledger["forwarded"] == len(signals) == distinct,
        f"{ledger['accepted']:g} accepted, {ledger['forwarded']:g} forwarded, "
        f"{ledger['parked']:g} parked, difference {ledger['difference']:g}; "
        f"{len(signals)} signals at PM-3",
    )
    await until(lambda: _receipts_rest(stage), within_s=PATIENCE_S)
    code = await show.node.stop()
    show.check("SIGTERM drains and exits 0 (P11)", code == 0, f"exit code {code}")


async def receipts(show: Show) -> None:
    """The tenant's receipts are proven without the node, the database and the settings."""
    stage, program = show.stage, show.node.program
    exported = await child.command(program, "receipts", "export", "--tenant", stage.tenant)
    lines = exported.stdout.splitlines(keepends=True)
    bare = child.without_settings(program)
    proven = await child.command(bare, "receipts", "verify", "-", stdin=exported.stdout)
    at_eris = [row["receipt_id"] for row in await stage.neighbours.receipts(stage.tenant)]
    show.check(
        "the tenant's receipts are one hash chain, proven offline; ERIS has them all (FR-13)",
        proven.returncode == 0
        and bool(lines)
        and sorted(at_eris) == sorted(orjson.loads(line)["receipt_id"] for line in lines),
        f"{len(lines)} receipts, {len(at_eris)} at ERIS; verify: {_first_words(proven.stdout)}",
    )
    tampered = {"changed": _changed(lines), "taken out": lines[:1] + lines[2:]}
    refused = {
        how: await child.command(bare, "receipts", "verify", "-", stdin=b"".join(copy))
        for how, copy in tampered.items()
    }
    show.check(
        "a copy with one receipt changed, or taken out, is refused",
        len(lines) > 2 and all(ended.returncode == 1 for ended in refused.values()),
        "; ".join(f"{how}: {_first_words(ended.stderr)}" for how, ended in refused.items()),
    )


async def _receipts_rest(stage: Stage) -> bool:
    """Whether no receipt has come to ERIS since the last look."""
    before = len(await stage.neighbours.receipts(stage.tenant))
    return not await until(lambda: _more_receipts(stage, before), within_s=1)


async def _more_receipts(stage: Stage, than: int) -> bool:
    return len(await stage.neighbours.receipts(stage.tenant)) > than


def _changed(lines: list[bytes]) -> list[bytes]:
    """The second receipt says "failed" where it said "succeeded"."""
    return [
        line.replace(b"succeeded", b"failed") if number == 1 else line
        for number, line in enumerate(lines)
    ]


def _first_words(output: bytes) -> str:
    """What a command says, up to the details."""
    return output.decode().partition(" (")[0].strip()
