"""The part of the store about incidents."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from persistence import incidents
from persistence.changes import IncidentRecord, NewIncident
from persistence.life_rows import incident_of
from persistence.sql.part import Part


class SqlIncidents(Part):
    """See ``IncidentStore``."""

    async def open_incident(self, incident: NewIncident) -> bool:
        """See ``IncidentStore.open_incident``."""
        asked = incidents.insert_incident(incident, tenant_id=incident.tenant_id)
        return bool(await self._engine.ask(asked))

    async def close_incident(
        self, tenant_id: str, connection_id: UUID, kind: str, *, now: datetime
    ) -> bool:
        """See ``IncidentStore.close_incident``."""
        return bool(
            await self._engine.ask(incidents.close(tenant_id, connection_id, kind, now=now))
        )

    async def incidents(
        self, tenant_id: str, connection_id: UUID, *, limit: int
    ) -> tuple[IncidentRecord, ...]:
        """See ``IncidentStore.incidents``."""
        asked = incidents.of_connection(tenant_id, connection_id, limit=limit)
        return tuple(incident_of(row) for row in await self._engine.ask(asked))

    async def tenants_with_incidents(self, *, limit: int) -> tuple[str, ...]:
        """See ``IncidentStore.tenants_with_incidents``."""
        rows = await self._engine.ask(incidents.tenants(limit))
        return tuple(row["tenant_id"] for row in rows)

    async def incidents_to_tell(self, tenant_id: str, *, limit: int) -> tuple[IncidentRecord, ...]:
        """See ``IncidentStore.incidents_to_tell``."""
        return incidents.to_tell_of(
            await self._engine.ask(incidents.to_tell(tenant_id, limit=limit))
        )

    async def incident_told(self, tenant_id: str, incident_id: UUID, *, told: str) -> None:
        """See ``IncidentStore.incident_told``."""
        await self._engine.ask(incidents.told(tenant_id, incident_id, word=told))
