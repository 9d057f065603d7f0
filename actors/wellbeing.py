"""How a connection's provider does: kept over restarts, shown to operators, told once when it turns (FR-8)."""

from __future__ import annotations

from datetime import datetime

from actors import incidents
from actors.holding import Holding
from actors.pressure import Pressure
from runtime import Phase


class Wellbeing:
    """Watches the breaker of one connection; its actor owns it."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._kept: bytes | None = None

    async def keep(self) -> None:
        """Keep what the breaker came to, and tell once that the provider went bad, and once that it is well again.

        The incident is opened after the breaker is kept, and closed before: whichever a crash comes between, the
        next incarnation does the rest.
        """
        holding = self._holding
        pressure, now = holding.line.pressure, holding.ports.clock.now()
        dumped = pressure.dump(now)
        if self._kept is None:
            # One that is open is kept and told once more: the last incarnation may have died before it told. Not one
            # whose pause is over: it may have died after telling that all is well, and the next try will show.
            self._kept = b"" if _is_silent(pressure, now) else dumped
        if pressure.phase is Phase.HALF_OPEN or dumped == self._kept:
            return
        if pressure.phase is Phase.CLOSED and _tells_of_trouble(self._kept):
            await incidents.closed(holding.ports, holding.connection, incidents.CIRCUIT_OPEN)
        await holding.ports.store.keep_pressure(holding.lease, dumped)
        if pressure.phase is Phase.OPEN:
            why = holding.line.tally.condition.last_error or "it failed before"
            await incidents.opened(
                holding.ports,
                holding.connection,
                incidents.CIRCUIT_OPEN,
                f"the provider fails: {why}",
            )
        self._kept = dumped

    def publish(self, *, running: int) -> None:
        """Show the connection's condition to those who look at health."""
        holding = self._holding
        condition = holding.line.pressure.condition(
            holding.line.tally.condition, holding.ports.clock.now(), running=running
        )
        holding.ports.conditions.put(holding.tenant_id, holding.connection_id, condition)


def _is_silent(pressure: Pressure, now: datetime) -> bool:
    until = pressure.breaker_state.until
    return pressure.phase is Phase.OPEN and until is not None and now < until


def _tells_of_trouble(kept: bytes) -> bool:
    return kept == b"" or b'"circuit":"open"' in kept
