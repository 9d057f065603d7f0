"""What is said of a commit: its status in a context, and check runs with annotations."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import TypeAlias
from urllib.parse import urlencode

import orjson
from attrs import frozen

from adapters.contract import Done, Outcome, Reference, Request, Response, Unsure
from adapters.document import Document, find, objects, optional, parse, read
from adapters.github import meaning
from adapters.github.effects import reference
from adapters.github.looking import Look, in_doubt, is_older
from adapters.github.requests import writing

BATCH = 50
"""How many annotations GitHub takes in one request."""

Rest: TypeAlias = Generator[Request, Response, Outcome | None]


@frozen(kw_only=True)
class Status:
    """The status of a commit in one context; the newest one counts, so setting it again changes nothing."""

    repository: str
    commit: str
    state: str
    context: str
    description: str | None
    url: str | None

    @property
    def target_key(self) -> str:
        """One commit."""
        return f"{self.repository.lower()}@{self.commit}"

    def creation(self) -> Request:
        """See ``Effect.creation``."""
        optionally = {"description": self.description, "target_url": self.url}
        given = {name: value for name, value in optionally.items() if value is not None}
        fields = {"state": self.state, "context": self.context, **given}
        return writing("POST", f"/repos/{self.repository}/statuses/{self.commit}", fields)

    def look(self, since: datetime) -> Look:
        """See ``Effect.look``: the newest status of the context (GitHub lists them so) is this one, or none is."""

        def verdict(item: Document) -> bool | None:
            if is_older(item, since):
                return False
            context = optional(item, "context", str) or ""
            return self._is(item) if context.lower() == self.context.lower() else None

        url = f"/repos/{self.repository}/commits/{self.commit}/statuses?per_page=100"
        return Look(url=url, verdict=verdict)

    def done(self, made: Document) -> Done:
        """See ``Effect.done``; a status has no page of its own."""
        return Done(reference=Reference(id=str(read(made, "id", int))))

    def _is(self, item: Document) -> bool:
        shown = (find(item, name) or None for name in ("state", "description", "target_url"))
        return tuple(shown) == (self.state, self.description or None, self.url)


@frozen(kw_only=True)
class CheckRun:
    """A check run that is over. GitHub keeps our ``external_id``; only an App may make one.

    ``annotations`` are as GitHub wants them, no two alike.
    """

    action_id: str
    repository: str
    commit: str
    name: str
    conclusion: str
    title: str
    summary: str
    annotations: tuple[Document, ...]
    url: str | None

    @property
    def target_key(self) -> str:
        """One commit."""
        return f"{self.repository.lower()}@{self.commit}"

    def creation(self) -> Request:
        """See ``Effect.creation``; with as many annotations as go along."""
        fields: dict[str, object] = {
            "name": self.name,
            "head_sha": self.commit,
            "external_id": self.action_id,
            "status": "completed",
            "conclusion": self.conclusion,
            "output": self._output(0),
        }
        fields |= {"details_url": self.url} if self.url else {}
        return writing("POST", self._path(), fields)

    def look(self, since: datetime) -> Look:
        """See ``Effect.look``; the list is of one check of one commit."""
        query = urlencode({"check_name": self.name, "filter": "all", "per_page": "100"})
        return Look(
            url=f"/repos/{self.repository}/commits/{self.commit}/check-runs?{query}",
            verdict=lambda item: find(item, "external_id") == self.action_id or None,
            items=lambda body: objects(parse(body), "check_runs"),
        )

    def done(self, made: Document) -> Done:
        """See ``Effect.done``."""
        details = {"annotations": len(self.annotations)}
        return Done(reference=reference(made), details=orjson.dumps(details))

    def rest(self, run_id: int, *, there: int) -> Rest:
        """Add the annotations after the first ``there``; None when all are.

        GitHub appends each request's whole, so their number tells which requests had their effect.
        """
        if there not in {len(self.annotations), *range(BATCH, len(self.annotations), BATCH)}:
            return Unsure(reason=f"the check run has {there} annotations; it was never left so")
        for begin in range(there, len(self.annotations), BATCH):
            request = writing("PATCH", f"{self._path()}/{run_id}", {"output": self._output(begin)})
            response = yield request
            ending = meaning.ending(response, request=request)
            if ending is not None:
                why = f"{begin} of {len(self.annotations)} annotations are there"
                return in_doubt(ending, why=why)
        return None

    def _output(self, begin: int) -> Document:
        batch = self.annotations[begin : begin + BATCH]
        return {"title": self.title, "summary": self.summary, "annotations": batch}

    def _path(self) -> str:
        return f"/repos/{self.repository}/check-runs"
