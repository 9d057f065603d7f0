"""The simulated neighbours of a node, from outside: what they saw, and what they are told to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import httpx
import orjson
from attrs import frozen

from http_edge.surroundings import ISSUE, PULL_REQUEST, REPOSITORY, Surroundings

Document: TypeAlias = Mapping[str, Any]


@frozen(kw_only=True)
class Neighbours:
    """Asks and tells the simulators over their own controls (``/_sim/``)."""

    around: Surroundings
    client: httpx.AsyncClient

    async def fault(self, **fault: object) -> None:
        """Plan a fault at GitHub; see ``FaultDocument``."""
        await self._told("POST", f"{self.around.github_url}/_sim/faults", fault)

    async def lift(self, name: str) -> None:
        """Lift the faults of that name at GitHub."""
        await self._told("DELETE", f"{self.around.github_url}/_sim/faults?name={name}", {})

    async def tell_github(self, what: str, **said: object) -> None:
        """Tell GitHub of people and applications; see ``simulator_controls``."""
        await self._told("POST", f"{self.around.github_url}/_sim/{what}", said)

    async def happens(self, what: str, **said: object) -> None:
        """Let something happen in the repository at GitHub (``issues``, ``comments`` ...); see ``simulator_history``."""
        await self.tell_github(what, repository=REPOSITORY, **said)

    async def outgoing(self) -> Sequence[Document]:
        """The webhooks that GitHub is to send now, signed."""
        return await self._rows(f"{self.around.github_url}/_sim/deliveries", "deliveries")

    async def delivered(self, delivery_id: int, status: int) -> None:
        """Tell GitHub how a webhook of it was answered; 0: nobody was there."""
        await self.tell_github("deliveries", id=delivery_id, status=status)

    async def pm3(self, what: str) -> None:
        """Take PM-3 ``down``, or bring it ``up``."""
        await self._told("POST", f"{self.around.pm3_url}/_sim/{what}", {})

    async def repository(self) -> Document:
        """All that is in the repository at GitHub, each kind by its number."""
        return await self._read(
            f"{self.around.github_url}/_sim/repository?repository={REPOSITORY}"
        )

    async def comments(self) -> Sequence[str]:
        """The first lines of the comments on the pull request and the issue, each in order."""
        kept = (await self.repository())["comments"]
        return [
            comment["body"].partition("\n")[0].strip()
            for number in (PULL_REQUEST, ISSUE)
            for comment in kept.get(str(number), ())
        ]

    async def hooks(self) -> Sequence[Document]:
        """The webhooks at GitHub, with their secrets."""
        return await self._rows(f"{self.around.github_url}/_sim/hooks", "hooks")

    async def requests(self, *, method: str = "", path: str = "") -> Sequence[Document]:
        """The requests that GitHub saw, oldest first: those of that method whose URL holds ``path``."""
        seen = await self._rows(f"{self.around.github_url}/_sim/requests", "requests")
        return [one for one in seen if method in ("", one["method"]) and path in one["url"]]

    async def signals(self, tenant: str) -> Sequence[Document]:
        """What PM-3 accepted of the tenant, in order."""
        return await self._rows(
            f"{self.around.pm3_url}/_sim/signals?tenant_id={tenant}", "signals"
        )

    async def alerts(self, tenant: str, kind: str) -> Sequence[Document]:
        """The alerts of that kind that EPC-4 has of the tenant."""
        rows = await self._rows(
            f"{self.around.alerting_url}/_sim/alerts?tenant_id={tenant}", "alerts"
        )
        return [row for row in rows if f":{kind}" in row["dedup_key"]]

    async def reports(self, tenant: str, kind: str) -> Sequence[Document]:
        """The health reports about that kind of trouble that EPC-5 has of the tenant, in order."""
        rows = await self._rows(
            f"{self.around.health_url}/_sim/telemetry?tenant_id={tenant}", "telemetry"
        )
        return [row for row in rows if row["labels"].get("kind") == kind]

    async def receipts(self, tenant: str) -> Sequence[Document]:
        """The receipts that ERIS has of the tenant, in order."""
        return await self._rows(
            f"{self.around.eris_url}/_sim/receipts?tenant_id={tenant}", "receipts"
        )

    async def _rows(self, url: str, name: str) -> Sequence[Document]:
        rows: Sequence[Document] = (await self._read(url))[name]
        return rows

    async def _read(self, url: str) -> Document:
        answer = await self.client.get(url)
        answer.raise_for_status()
        document: Document = orjson.loads(answer.content)
        return document

    async def _told(self, method: str, url: str, said: Document) -> None:
        answer = await self.client.request(method, url, content=orjson.dumps(said))
        answer.raise_for_status()
