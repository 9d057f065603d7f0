"""A chat provider for tests: its adapter, and its server as a state machine. It finds a message again by its nonce."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import orjson
from attrs import evolve, field, frozen

from adapters import answers, canonical
from adapters.contract import (
    Action,
    Delivery,
    Done,
    Plan,
    Reference,
    Request,
    Response,
    Secret,
    Signal,
)
from adapters.document import parse
from adapters.errors import SignatureError
from adapters.faults import Fault
from adapters.manifest import AuthMethod, Category, Manifest, ProviderStatus
from adapters.simulation import Reply, Stage, as_json

CHAT_URL = "https://chat.example.com"


@frozen(kw_only=True)
class ChatAdapter:
    """See ``contract.Adapter``; it posts messages and does nothing else."""

    manifest: Manifest = field(
        default=Manifest(
            provider_id="chat",
            name="Chat",
            category=Category.CHAT,
            status=ProviderStatus.ALPHA,
            api_version="1",
            adapter_version="1.0.0",
            base_url=CHAT_URL,
            body_limit_bytes=1_000_000,
            event_kinds=(),
            signal_types=(),
            actions=("post_chat_message",),
            auth_methods=(AuthMethod.TOKEN,),
            look_up=True,
            effect_horizon=timedelta(seconds=10),
        )
    )

    def receive(
        self, request: Request, *, secrets: tuple[Secret, ...], now: datetime
    ) -> Delivery | Response:
        """See ``Webhooks.receive``."""
        raise SignatureError("nobody signs here")

    def normalise(self, delivery: Delivery) -> tuple[Signal, ...]:
        """See ``Webhooks.normalise``."""
        return ()

    def check(self, action: Action) -> None:
        """See ``Actions.check``."""
        canonical.check(action)

    def target_key(self, action: Action) -> str:
        """See ``Actions.target_key``."""
        target, _ = canonical.check(action)
        return f"channel:{target.channel}"

    def plan(self, action: Action) -> Plan:
        """See ``Actions.plan``."""
        target, payload = canonical.check(action)
        url = f"/channels/{target.channel}/messages"
        if action.first_sent_at is not None:
            look = Request(method="GET", url=f"{url}?nonce={action.action_id}")
            found = yield look
            ended = answers.ending(found, request=look)
            if ended is not None:
                return ended
            messages = orjson.loads(found.body)
            if messages:
                return _posted(messages[0])
        body = orjson.dumps({"nonce": action.action_id, "text": payload.text})
        post = Request(method="POST", url=url, body=body, writes=True)
        made = yield post
        return answers.ending(made, request=post) or _posted(orjson.loads(made.body))

    def probe(self, settings: bytes = b"{}", *, granted: tuple[str, ...] = ()) -> Plan:
        """See ``Adapter.probe``."""
        request = Request(method="GET", url="/me")
        response = yield request
        return answers.ending(response, request=request) or Done(details=response.body)

    def authorise(self, request: Request, *, token: Secret) -> Request:
        """See ``Adapter.authorise``."""
        bearer = ("authorization", f"Bearer {token.value.decode()}")
        return evolve(request, headers=(*request.headers, bearer))


class ChatServer:
    """The server: ``messages`` by channel, in the order they were posted."""

    def __init__(self, token: Secret) -> None:
        self.messages: dict[str, list[dict[str, str]]] = {}
        self._token = token
        self._stage = Stage(self._perform)

    def plan(self, *faults: Fault) -> None:
        """Plan faults for the requests to come."""
        self._stage.plan(*faults)

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer a request."""
        return self._stage.handle(request, now=now)

    def _perform(self, request: Request, now: datetime) -> Response:
        if request.header("authorization") != f"Bearer {self._token.value.decode()}":
            return as_json(401, {"error": "who are you?"})
        url = urlsplit(request.url)
        if url.path == "/me":
            return as_json(200, {"name": "m10"})
        _, kind, channel, _ = url.path.split("/")
        if kind != "channels":
            return as_json(404, {})
        posted = self.messages.setdefault(channel, [])
        if request.method == "GET":
            (nonce,) = parse_qs(url.query)["nonce"]
            return as_json(200, [one for one in posted if one["nonce"] == nonce])
        document = parse(request.body)
        message = {"id": f"{channel}-{len(posted) + 1}", **document}
        posted.append(message)
        return as_json(201, message)


def _posted(message: dict[str, str]) -> Done:
    return Done(reference=Reference(id=message["id"]))
