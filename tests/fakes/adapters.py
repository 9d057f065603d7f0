"""A provider of tests: its deliveries say what becomes of them, its actions are one POST."""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson
from attrs import evolve, field, frozen

from adapters import answers
from adapters.contract import (
    Action,
    Delivery,
    Done,
    Outcome,
    Plan,
    Reference,
    Request,
    Response,
    Secret,
    Signal,
)
from adapters.errors import PayloadError, SignatureError
from adapters.github import MANIFEST
from adapters.manifest import AuthMethod, Manifest, NoSettings

PROVIDER = "scripted"
BASE_URL = "https://provider.test"


class PoisonError(Exception):
    """What a bug in an adapter raises."""


@frozen(kw_only=True)
class ScriptedAdapter:
    """See ``contract.Adapter``.

    A delivery ``{"signals": n}`` makes n signals, ``{"malformed": true}`` can not be read, ``{"poison": true}``
    kills whoever reads it. The probe asks ``/me``; an action posts to ``/do/<name of its target>``.
    """

    manifest: Manifest = field(
        default=evolve(
            MANIFEST,
            provider_id=PROVIDER,
            name="Scripted",
            base_url=BASE_URL,
            auth_methods=(AuthMethod.TOKEN,),
            settings=NoSettings,
            look_up=False,
            effect_horizon=timedelta(seconds=1),
        )
    )

    def receive(
        self, request: Request, *, secrets: tuple[Secret, ...], now: datetime
    ) -> Delivery | Response:
        """See ``Webhooks.receive``; tests put deliveries into the inbox themselves."""
        raise SignatureError("nobody signs here")

    def normalise(self, delivery: Delivery) -> tuple[Signal, ...]:
        """See ``Webhooks.normalise``."""
        document = orjson.loads(delivery.body)
        if "malformed" in document:
            raise PayloadError("is missing", path="signals")
        if "poison" in document:
            raise PoisonError("the adapter does not survive this")
        return tuple(
            Signal(
                signal_type="other",
                occurred_at=delivery.received_at,
                payload=orjson.dumps({"index": index, **document}),
            )
            for index in range(document["signals"])
        )

    def check(self, action: Action) -> None:
        """See ``Actions.check``."""
        orjson.loads(action.target)

    def target_key(self, action: Action) -> str:
        """See ``Actions.target_key``."""
        return str(orjson.loads(action.target)["name"])

    def plan(self, action: Action) -> Plan:
        """See ``Actions.plan``."""
        request = Request(
            method="POST",
            url=f"/do/{self.target_key(action)}",
            body=orjson.dumps({"action_id": action.action_id}),
            writes=True,
        )
        response = yield request
        return answers.ending(response, request=request) or Done(
            reference=Reference(id=response.body.decode())
        )

    def probe(self, settings: bytes = b"{}", *, granted: tuple[str, ...] = ()) -> Plan:
        """See ``Adapter.probe``."""
        request = Request(method="GET", url="/me")
        response = yield request
        ending: Outcome | None = answers.ending(response, request=request)
        return ending or Done(details=response.body)

    def authorise(self, request: Request, *, token: Secret) -> Request:
        """See ``Adapter.authorise``."""
        header = ("authorization", f"Bearer {token.value.decode()}")
        return evolve(request, headers=(*request.headers, header))
