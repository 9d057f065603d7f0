"""Coming to GitHub's tokens: a person's grant by OAuth 2.0, and an app's key."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import jwt
import orjson
import pytest
from attrs import evolve
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from adapters import oauth
from adapters.capabilities import AuthorizationServer
from adapters.contract import Done, Later, NeedsLogin, Refused, Request, Response, Secret
from adapters.credentials import (
    AppKey,
    ClientCredentials,
    Credentials,
    Grant,
    GrantOutcome,
    OAuthTokens,
    StaticToken,
)
from adapters.errors import CredentialsError
from adapters.faults import dropped_after, dropped_before, failing, failing_after
from adapters.github import ADAPTER
from adapters.github.permissions import OAUTH_SCOPES
from adapters.github.simulator import GitHub
from adapters.oauth import OAuthClient
from tests.fakes.plans import LostError, carry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE = "https://github.test"
CALLBACK = "https://ia.test/oauth/callback"
CLIENT = OAuthClient(client_id="Iv1.simulated", client_secret=Secret(value=b"cl1ent-s3cret"))
VERIFIER = "v3rifier-" + "x" * 40

Ending = TypeVar("Ending")


@cache
def private_key(kind: str = "rsa") -> Any:
    made = {
        "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "other": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "short": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - to be refused
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    return made[kind]()


def pem(kind: str = "rsa", *, password: bytes | None = None, form: str = "PKCS8") -> bytes:
    locked = serialization.NoEncryption()
    encryption = locked if password is None else serialization.BestAvailableEncryption(password)
    shape = getattr(serialization.PrivateFormat, form)
    encoded = private_key(kind).private_bytes(serialization.Encoding.PEM, shape, encryption)
    return bytes(encoded)


def public_pem(kind: str = "rsa") -> bytes:
    shape = serialization.PublicFormat.SubjectPublicKeyInfo
    public = private_key(kind).public_key()
    return bytes(public.public_bytes(serialization.Encoding.PEM, shape))


def app_key(
    private: bytes | None = None, *, app_id: str = "12345", installation_id: str = "678"
) -> AppKey:
    secret = Secret(value=pem() if private is None else private)
    return AppKey(app_id=app_id, installation_id=installation_id, private_key=secret)


class Scene:
    """A simulated GitHub that knows one application and one app, told over ``/_sim/``."""

    def __init__(self, *, expires: bool = True) -> None:
        self.now = NOW
        self.github = GitHub(base_url=BASE)
        self.github.world.add_repository("acme/rocket")
        client = {"client_id": CLIENT.client_id, "client_secret": "cl1ent-s3cret"}
        self.tell("clients", {**client, "redirect_uri": CALLBACK, "expires": expires})
        installations = {"678": ["issues:write", "metadata:read"]}
        public = public_pem().decode()
        self.tell(
            "apps", {"app_id": "12345", "public_key": public, "installations": installations}
        )

    def tell(self, what: str, document: object, *, status: int = 201) -> None:
        request = Request(method="POST", url=f"/_sim/{what}", body=orjson.dumps(document))
        assert self.send(request).status == status

    def send(self, request: Request) -> Response:
        reply = self.github.handle(request, now=self.now)
        if reply.response is None:
            raise LostError
        return reply.response

    def run(self, plan: Generator[Request, Response, Ending]) -> Ending:
        return carry(plan, self.send)

    @property
    def server(self) -> AuthorizationServer:
        return ADAPTER.authorization_server(BASE)

    def consent(self, **changes: Any) -> dict[str, str]:
        """What the person's browser brings back to the callback."""
        asked: dict[str, Any] = {
            "client_id": CLIENT.client_id,
            "redirect_uri": CALLBACK,
            "state": "st4te",
            "challenge": oauth.challenge(VERIFIER),
            "scopes": self.server.scopes,
        }
        url = oauth.authorization_url(self.server, **{**asked, **changes})
        answer = self.send(Request(method="GET", url=url))
        return dict(parse_qsl(urlsplit(answer.header("location") or "").query))

    def take(self, code: str, *, verifier: str = VERIFIER, **changes: Any) -> GrantOutcome:
        asked = {"redirect_uri": CALLBACK, **changes}
        client = asked.pop("client", CLIENT)
        return self.run(
            oauth.code_grant(
                self.server, client, code=code, verifier=verifier, now=self.now, **asked
            )
        )

    def granted(self) -> Grant:
        grant = self.take(self.consent()["code"])
        assert isinstance(grant, Grant), grant
        return grant

    def refresh(self, token: Secret | None) -> GrantOutcome:
        assert token is not None
        return self.run(
            oauth.refresh_grant(self.server, CLIENT, refresh_token=token, now=self.now)
        )

    def opens(self, token: Secret) -> bool:
        plan = ADAPTER.probe()
        outcome = carry(plan, lambda asked: self.send(ADAPTER.authorise(asked, token=token)))
        assert isinstance(outcome, Done | NeedsLogin)
        return isinstance(outcome, Done)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    ("base_url", "web"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://ghe.example/api/v3", "https://ghe.example"),
        ("https://ghe.example:8443/api/v3/", "https://ghe.example:8443"),
        ("https://api.octo.ghe.com", "https://octo.ghe.com"),
        ("https://api.example.com", "https://api.example.com"),
        ("http://127.0.0.1:8105", "http://127.0.0.1:8105"),
    ],
)
def test_people_log_in_where_the_api_belongs_to(base_url: str, web: str) -> None:
    server = ADAPTER.authorization_server(base_url)

    assert server.authorize_url == f"{web}/login/oauth/authorize"
    assert server.token_url == f"{web}/login/oauth/access_token"
    assert server.scopes == OAUTH_SCOPES


def test_a_code_becomes_tokens_that_open_and_end(scene: Scene) -> None:
    """IT-IA-01, without the network."""
    callback = scene.consent()
    grant = scene.take(callback["code"])

    assert callback["state"] == "st4te"
    assert isinstance(grant, Grant)
    assert grant.expires_at == NOW + timedelta(hours=8)
    assert grant.refresh_token is not None
    assert scene.opens(grant.access_token)
    scene.now += timedelta(hours=8)
    assert not scene.opens(grant.access_token)


def test_the_tokens_of_an_oauth_app_do_not_expire_and_say_their_scopes() -> None:
    scene = Scene(expires=False)

    grant = scene.granted()

    assert (grant.expires_at, grant.refresh_token) == (None, None)
    assert grant.scopes == OAUTH_SCOPES
    scene.now += timedelta(days=3_000)
    assert scene.opens(grant.access_token)


def test_a_refused_consent_comes_back_as_such(scene: Scene) -> None:
    scene.tell("consent", {"denied": True})

    assert scene.consent() == {"error": "access_denied", "state": "st4te"}


def test_a_redirect_that_was_not_registered_leads_back_to_the_one_that_was(scene: Scene) -> None:
    assert scene.consent(redirect_uri="https://evil.test/")["error"] == "redirect_uri_mismatch"


def test_an_unknown_application_is_shown_nothing(scene: Scene) -> None:
    assert scene.consent(client_id="who") == {}


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"verifier": "w" * 43}, NeedsLogin(reason="bad_verification_code")),
        ({"code": "made-up"}, NeedsLogin(reason="bad_verification_code")),
        (
            {"redirect_uri": f"{CALLBACK}/other"},
            Refused(reason="redirect_uri_mismatch", status=200),
        ),
        (
            {"client": evolve(CLIENT, client_secret=Secret(value=b"wrong"))},
            Refused(reason="incorrect_client_credentials", status=200),
        ),
        (
            {"client": OAuthClient(client_id="who")},
            Refused(reason="incorrect_client_credentials", status=200),
        ),
    ],
    ids=["verifier", "code", "redirect", "secret", "client"],
)
def test_a_code_is_bound_to_all_that_it_was_asked_with(
    scene: Scene, changes: dict[str, Any], outcome: GrantOutcome
) -> None:
    asked = {"code": scene.consent()["code"], **changes}

    assert scene.take(**asked) == outcome
    assert scene.github.world.tokens == []


def test_a_code_is_used_once_and_within_ten_minutes(scene: Scene) -> None:
    used, late = scene.consent()["code"], scene.consent()["code"]
    scene.take(used)
    scene.now += timedelta(minutes=10)

    assert scene.take(used) == NeedsLogin(reason="bad_verification_code")
    assert scene.take(late) == NeedsLogin(reason="bad_verification_code")


def test_a_code_of_one_application_is_worth_nothing_to_another(scene: Scene) -> None:
    other = {"client_id": "other", "client_secret": "cl1ent-s3cret", "redirect_uri": CALLBACK}
    scene.tell("clients", other)

    outcome = scene.take(scene.consent()["code"], client=evolve(CLIENT, client_id="other"))

    assert outcome == NeedsLogin(reason="bad_verification_code")


def test_each_refresh_rotates_both_tokens_and_ends_the_old_ones(scene: Scene) -> None:
    first = scene.granted()
    second = scene.refresh(first.refresh_token)

    assert isinstance(second, Grant)
    assert second.refresh_token not in (None, first.refresh_token)
    assert [scene.opens(one.access_token) for one in (first, second)] == [False, True]
    assert scene.refresh(first.refresh_token) == NeedsLogin(reason="bad_refresh_token")
    assert isinstance(scene.refresh(second.refresh_token), Grant)


def test_a_refresh_token_ends_after_half_a_year(scene: Scene) -> None:
    grant = scene.granted()
    scene.now += timedelta(days=184)

    assert scene.refresh(grant.refresh_token) == NeedsLogin(reason="bad_refresh_token")


def test_a_revoked_grant_opens_nothing_and_is_not_refreshed(scene: Scene) -> None:
    grant, others = scene.granted(), None
    scene.tell("consent", {"login": "ada"})
    others = scene.granted()

    scene.tell("revocations", {"login": "octo-bot"})

    assert not scene.opens(grant.access_token)
    assert scene.refresh(grant.refresh_token) == NeedsLogin(reason="bad_refresh_token")
    assert scene.opens(others.access_token)
    assert isinstance(scene.refresh(others.refresh_token), Grant)


def test_a_lost_answer_to_a_refresh_is_asked_for_once_more_and_then_a_person_comes(
    scene: Scene,
) -> None:
    """The token was spent: no second answer can bring back what the first one held."""
    grant = scene.granted()
    scene.github.plan(dropped_after())
    with pytest.raises(LostError):
        scene.refresh(grant.refresh_token)

    assert scene.refresh(grant.refresh_token) == NeedsLogin(reason="bad_refresh_token")


def test_a_refresh_that_never_arrived_is_repeated_with_the_same_token(scene: Scene) -> None:
    grant = scene.granted()
    scene.github.plan(dropped_before(), failing(503))
    with pytest.raises(LostError):
        scene.refresh(grant.refresh_token)

    unavailable = scene.refresh(grant.refresh_token)

    assert unavailable == Later(reason="answered 503", maybe_sent=True)
    assert isinstance(scene.refresh(grant.refresh_token), Grant)


def test_a_gateway_error_after_the_effect_spends_the_refresh_token_too(scene: Scene) -> None:
    grant = scene.granted()
    scene.github.plan(failing_after(502))

    assert scene.refresh(grant.refresh_token) == Later(reason="answered 502", maybe_sent=True)
    assert isinstance(scene.refresh(grant.refresh_token), NeedsLogin)


def test_other_ways_to_ask_are_refused(scene: Scene) -> None:
    plan = oauth.client_grant(scene.server, CLIENT, scopes=(), now=NOW)

    assert scene.run(plan) == Refused(reason="unsupported_grant_type", status=200)


def test_the_simulated_github_answers_a_form_unless_json_is_asked_for(scene: Scene) -> None:
    request = next(oauth.client_grant(scene.server, CLIENT, scopes=(), now=NOW))

    answer = scene.send(evolve(request, headers=()))

    assert answer.body == b"error=unsupported_grant_type"


def test_an_app_is_granted_an_hour_with_its_permissions(scene: Scene) -> None:
    grant = scene.run(ADAPTER.app_grant(app_key(), now=NOW))

    assert isinstance(grant, Grant)
    assert grant.expires_at == NOW + timedelta(hours=1)
    assert grant.refresh_token is None
    assert grant.scopes == ("issues:write", "metadata:read")
    assert scene.opens(grant.access_token)
    scene.now += timedelta(hours=1)
    assert not scene.opens(grant.access_token)
    assert isinstance(scene.run(ADAPTER.app_grant(app_key(), now=scene.now)), Grant)


@pytest.mark.parametrize("skew", [timedelta(seconds=-59), timedelta(seconds=59)])
def test_an_app_is_granted_though_clocks_differ_by_a_minute(scene: Scene, skew: timedelta) -> None:
    scene.now += skew

    assert isinstance(scene.run(ADAPTER.app_grant(app_key(), now=NOW)), Grant)


@pytest.mark.parametrize("skew", [timedelta(minutes=-2), timedelta(minutes=10)])
def test_clocks_that_differ_more_are_a_persons_to_mend(scene: Scene, skew: timedelta) -> None:
    scene.now += skew

    outcome = scene.run(ADAPTER.app_grant(app_key(), now=NOW))

    assert isinstance(outcome, NeedsLogin)
    assert "claim" in outcome.reason


def test_what_an_app_signs_is_what_github_wants() -> None:
    request = next(ADAPTER.app_grant(app_key(app_id="Iv23.client"), now=NOW))

    assert (request.method, request.url) == ("POST", "/app/installations/678/access_tokens")
    assert not request.writes
    token = (request.header("authorization") or "").removeprefix("Bearer ")
    claims = jwt.decode(token, public_pem(), algorithms=["RS256"], options={"verify_exp": False})
    assert claims["iss"] == "Iv23.client"
    assert claims["iat"] == NOW.timestamp() - 60
    assert NOW.timestamp() < claims["exp"] <= NOW.timestamp() + 600


@pytest.mark.parametrize(
    ("key", "outcome"),
    [
        (
            lambda: app_key(pem("other")),
            NeedsLogin(reason="401: A JSON web token could not be decoded"),
        ),
        (
            lambda: app_key(app_id="999"),
            NeedsLogin(reason="401: A JSON web token could not be decoded"),
        ),
        (
            lambda: app_key(installation_id="999"),
            NeedsLogin(reason="404: the app is not installed there any more"),
        ),
    ],
    ids=["another_key", "unknown_app", "not_installed"],
)
def test_an_app_that_is_not_let_in_needs_a_person(
    scene: Scene, key: Any, outcome: GrantOutcome
) -> None:
    assert scene.run(ADAPTER.app_grant(key(), now=NOW)) == outcome


def test_a_token_that_signs_for_nobody_is_refused_by_the_simulated_github(scene: Scene) -> None:
    request = next(ADAPTER.app_grant(app_key(), now=NOW))

    for token in ("", "Bearer x.y.z", "Bearer " + jwt.encode({"iss": "12345"}, "k" * 32)):
        headers = (("authorization", token), ("user-agent", "t"))
        assert scene.send(evolve(request, headers=headers)).status == 401
    forever = jwt.encode(
        {"iss": "12345", "iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + 601},
        pem(),
        algorithm="RS256",
    )
    ahead = (("authorization", f"Bearer {forever}"), ("user-agent", "t"))
    assert b"too far" in scene.send(evolve(request, headers=ahead)).body


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (failing(503), Later(reason="answered 503")),
        (failing(403), Refused(reason="403: forbidden", status=403)),
        (failing(422), Refused(reason="answered 422", status=422)),
    ],
)
def test_asking_again_for_an_apps_token_does_no_harm(
    scene: Scene, fault: Any, outcome: GrantOutcome
) -> None:
    scene.github.plan(fault)

    assert scene.run(ADAPTER.app_grant(app_key(), now=NOW)) == outcome
    assert isinstance(scene.run(ADAPTER.app_grant(app_key(), now=NOW)), Grant)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b'{"token": "ghs_s3cret"',
        b'{"expires_at": "2026-03-01T13:00:00Z"}',
        b'{"token": "ghs_s3cret", "expires_at": "soon"}',
        b'{"token": "ghs s3cret", "expires_at": "2026-03-01T13:00:00Z"}',
    ],
)
def test_an_unreadable_grant_is_asked_for_again_and_not_shown(body: bytes) -> None:
    outcome = carry(
        ADAPTER.app_grant(app_key(), now=NOW), lambda _: Response(status=201, body=body)
    )

    assert isinstance(outcome, Later)
    assert "s3cret" not in repr(outcome)


def test_an_app_grant_without_readable_permissions_says_none() -> None:
    body = b'{"token": "ghs_1", "expires_at": "2026-03-01T13:00:00Z", "permissions": {"a": 7}}'

    outcome = carry(
        ADAPTER.app_grant(app_key(), now=NOW), lambda _: Response(status=201, body=body)
    )

    assert isinstance(outcome, Grant)
    assert outcome.scopes == ()


def unsound_pem() -> bytes:
    """A key whose parts do not belong together."""
    good, other = (private_key(kind).private_numbers() for kind in ("rsa", "other"))
    mixed = rsa.RSAPrivateNumbers(
        p=good.p,
        q=good.q,
        d=other.d,
        dmp1=good.dmp1,
        dmq1=good.dmq1,
        iqmp=good.iqmp,
        public_numbers=good.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    shape, locked = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return bytes(mixed.private_bytes(serialization.Encoding.PEM, shape, locked))


UNKNOWN_KEY = b"""-----BEGIN PRIVATE KEY-----
MA8CAQAwBgYEKgMEBQQCAAE=
-----END PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    "private",
    [
        lambda: b"",
        lambda: b"s3cret",
        lambda: b"\xff\xfe",
        lambda: pem()[:500],
        lambda: pem("ec"),
        lambda: pem("ed25519"),
        lambda: pem("short"),
        lambda: pem(password=b"locked"),
        public_pem,
        lambda: UNKNOWN_KEY,
        unsound_pem,
    ],
    ids=[
        "empty",
        "no_pem",
        "no_text",
        "cut",
        "ec",
        "ed25519",
        "short",
        "locked",
        "public",
        "unknown_algorithm",
        "unsound",
    ],
)
def test_a_key_that_can_not_sign_is_refused_at_the_door_and_not_shown(private: Any) -> None:
    """P8."""
    with pytest.raises(CredentialsError, match="the private key") as caught:
        ADAPTER.check_credentials(app_key(private()))

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("app_id", "installation_id"),
    [("", "1"), ("1/../2", "1"), ("1", "x"), ("1", "1/../2"), ("1", "1\n"), ("1", "9" * 20)],
)
def test_ids_that_lead_elsewhere_are_refused(app_id: str, installation_id: str) -> None:
    key = app_key(app_id=app_id, installation_id=installation_id)

    with pytest.raises(CredentialsError):
        ADAPTER.check_credentials(key)
    with pytest.raises(CredentialsError):
        next(ADAPTER.app_grant(key, now=NOW))


@pytest.mark.parametrize(
    "credentials",
    [
        StaticToken(token=Secret(value=b"ghp_1")),
        OAuthTokens(access_token=Secret(value=b"a"), refresh_token=None, expires_at=None),
        app_key(b"x", app_id="1"),
    ],
    ids=["token", "oauth2", "app"],
)
def test_the_kinds_that_github_knows_are_taken(credentials: Credentials) -> None:
    if isinstance(credentials, AppKey):
        forms = [pem(), pem(form="TraditionalOpenSSL")]
        for form in forms:
            ADAPTER.check_credentials(evolve(credentials, private_key=Secret(value=form)))
    else:
        ADAPTER.check_credentials(credentials)


def test_github_grants_no_client_a_token_in_its_own_name() -> None:
    own = ClientCredentials(client_id="c", client_secret=Secret(value=b"s"))

    with pytest.raises(CredentialsError, match="token, oauth2, app"):
        ADAPTER.check_credentials(own)


@pytest.mark.parametrize(
    ("what", "document"),
    [
        ("clients", {}),
        ("clients", {"client_id": "c", "client_secret": "s", "redirect_uri": 7}),
        ("consent", {"login": 7}),
        ("apps", {"app_id": "1", "public_key": "p", "installations": {"1": "all"}}),
        ("apps", {"app_id": "1", "public_key": "p", "installations": {"1": ["issues"]}}),
        ("tokens", {"token": "t", "scopes": [7]}),
        ("tokens", {"token": "t", "permissions": ["issues:delete"]}),
        ("tokens", {}),
        ("revocations", {}),
        ("organizations", []),
    ],
)
def test_what_is_told_wrongly_is_refused(scene: Scene, what: str, document: object) -> None:
    scene.tell(what, document, status=400)


def test_a_token_made_by_hand_ends_when_it_is_told(scene: Scene) -> None:
    scene.tell("tokens", {"token": "t1", "scopes": ["repo"], "expires_in_s": 60})
    scene.tell("tokens", {"token": "t2", "login": "ada", "permissions": ["issues:read"]})

    opened = [scene.opens(Secret(value=token)) for token in (b"t1", b"t2", b"t3")]
    scene.now += timedelta(seconds=60)

    assert opened == [True, True, False]
    assert not scene.opens(Secret(value=b"t1"))


def test_another_process_sees_and_removes_the_webhooks(scene: Scene) -> None:
    scene.tell("tokens", {"token": "t1", "scopes": ["admin:org_hook"]})
    scene.tell("organizations", {"login": "Initech"})
    config = {"url": "https://ia.test/hook", "content_type": "json", "secret": "h00k"}
    made = Request(
        method="POST",
        url="/orgs/initech/hooks",
        headers=(("user-agent", "t"), ("authorization", "Bearer t1")),
        body=orjson.dumps({"name": "web", "events": ["push"], "config": config}),
    )

    assert scene.send(made).status == 201
    seen = orjson.loads(scene.send(Request(method="GET", url="/_sim/hooks")).body)
    gone = orjson.loads(scene.send(Request(method="DELETE", url="/_sim/hooks")).body)

    assert seen["count"] == 1
    assert (seen["hooks"][0]["owner"], seen["hooks"][0]["secret"]) == ("orgs/initech", "h00k")
    assert gone == {"count": 0, "hooks": []}


def ask(scene: Scene, method: str, path: str, document: object = None) -> Response:
    headers = (("user-agent", "t"), ("authorization", "Bearer t1"))
    body = b"" if document is None else orjson.dumps(document)
    return scene.send(
        Request(method=method, url=f"/repos/acme/rocket{path}", headers=headers, body=body)
    )


GOOD_HOOK: dict[str, Any] = {"config": {"url": "https://ia.test/hook"}, "events": ["push"]}


@pytest.mark.parametrize(
    ("method", "path", "document", "status"),
    [
        ("GET", "/hooks", None, 200),
        ("PUT", "/hooks", {}, 404),
        ("GET", "/hooks/1", None, 404),
        ("POST", "/hooks", GOOD_HOOK, 201),
        ("POST", "/hooks", {"config": GOOD_HOOK["config"]}, 201),
        ("POST", "/hooks", {**GOOD_HOOK, "name": "email"}, 422),
        ("POST", "/hooks", {**GOOD_HOOK, "events": ["made_up"]}, 422),
        ("POST", "/hooks", {**GOOD_HOOK, "events": [{}]}, 422),
        ("POST", "/hooks", {"config": {"url": "ftp://x"}}, 422),
        ("POST", "/hooks", {}, 422),
        ("POST", "/hooks", [], 422),
        ("PATCH", "/hooks/1", {}, 404),
        ("PATCH", "/hooks/{id}", {"active": False}, 200),
        ("PATCH", "/hooks/{id}", {"events": ["star"]}, 422),
        ("PATCH", "/hooks/{id}", {"config": 7}, 422),
        ("PUT", "/hooks/{id}", {}, 404),
        ("DELETE", "/hooks/{id}", None, 204),
    ],
)
def test_the_simulated_webhooks_answer_as_documented(
    scene: Scene, method: str, path: str, document: object, status: int
) -> None:
    scene.tell("tokens", {"token": "t1", "scopes": ["repo"]})
    at = {"url": "https://ia.test/at"}
    made = orjson.loads(ask(scene, "POST", "/hooks", {"config": at, "events": ["issues"]}).body)
    ask(scene, "POST", "/hooks", {"config": at, "events": ["star"]})

    answer = ask(scene, method, path.replace("{id}", str(made["id"])), document)

    assert answer.status == status


def test_github_allows_twenty_webhooks_for_an_event(scene: Scene) -> None:
    scene.tell("tokens", {"token": "t1", "scopes": ["repo"]})
    statuses = [
        ask(scene, "POST", "/hooks", {"config": {"url": f"https://ci.test/{n}"}}).status
        for n in range(21)
    ]

    assert statuses == [201] * 20 + [422]


def test_an_update_without_the_secret_removes_it(scene: Scene) -> None:
    """Why each of ours sends it."""
    scene.tell("tokens", {"token": "t1", "scopes": ["repo"]})
    config = {"url": "https://ia.test/hook", "secret": "h00k"}
    made = orjson.loads(ask(scene, "POST", "/hooks", {"config": config}).body)
    changed = ask(scene, "PATCH", f"/hooks/{made['id']}", {"config": {"url": config["url"]}})

    assert made["config"]["secret"] == "********"
    assert "secret" not in orjson.loads(changed.body)["config"]


@pytest.mark.parametrize(
    ("permissions", "method", "path", "status"),
    [
        (["issues:read"], "GET", "/issues", 200),
        (["issues:read"], "POST", "/issues", 403),
        (["pull_requests:write"], "GET", "/issues/1/comments", 404),
        (["metadata:read"], "GET", "/issues/1/comments", 403),
        (["metadata:read"], "GET", "", 200),
        (["metadata:read"], "GET", "/pulls", 403),
        (["repository_hooks:read"], "GET", "/hooks", 200),
        (["repository_hooks:read"], "POST", "/hooks", 403),
        (["repository_hooks:admin"], "POST", "/hooks", 422),
    ],
)
def test_a_token_with_permissions_is_held_to_them(
    scene: Scene, permissions: list[str], method: str, path: str, status: int
) -> None:
    scene.tell("tokens", {"token": "t1", "permissions": permissions})

    answer = ask(scene, method, path, {} if method == "POST" else None)

    assert answer.status == status
    assert (answer.header("x-accepted-github-permissions") is not None) is (status == 403)


def test_nothing_of_a_grant_is_shown(scene: Scene) -> None:
    """P8; SEC-IA-01."""
    grant = scene.granted()
    request = next(ADAPTER.app_grant(app_key(), now=NOW))

    shown = repr((grant, request, app_key(), CLIENT))

    assert grant.access_token.value.decode() not in shown
    assert "PRIVATE KEY" not in shown
    assert "Bearer" not in shown
