"""The store on an engine: its parts put together, as ``persistence.store.Store`` puts together their Protocols."""

from __future__ import annotations

from persistence import upkeep
from persistence.errors import SchemaError
from persistence.schema import REVISION
from persistence.sql.actions import SqlActions
from persistence.sql.connections import SqlConnections
from persistence.sql.inbox import SqlInbox
from persistence.sql.incidents import SqlIncidents
from persistence.sql.logins import SqlLogins
from persistence.sql.outbox import SqlOutbox
from persistence.sql.polls import SqlPolls


class SqlStore(SqlConnections, SqlLogins, SqlIncidents, SqlInbox, SqlOutbox, SqlActions, SqlPolls):
    """``Store`` on an engine. Every method is described there."""

    async def ping(self) -> None:
        """See ``Store.ping``."""
        rows = await self._engine.ask(upkeep.revision())
        found = [row["version_num"] for row in rows]
        if found != [REVISION]:
            raise SchemaError(
                f"the database is at revision {found}, this program needs {REVISION}"
            )
