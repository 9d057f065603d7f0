"""How another process tells the simulated GitHub about people, applications and webhooks, under ``/_sim/``.

| request | what it does |
|---|---|
| ``POST clients`` ``{client_id, client_secret, redirect_uri, expires?}`` | an OAuth app (``expires`` false) or a GitHub App |
| ``POST consent`` ``{login?, denied?}`` | who sits in front of the authorisation page, and whether they refuse |
| ``POST apps`` ``{app_id, public_key, installations: {id: [permission]}}`` | a GitHub App with its key |
| ``POST tokens`` ``{token, login?, scopes?, permissions?, expires_in_s?}`` | a token made by hand |
| ``POST revocations`` ``{login}`` | a person takes back all that was granted in their name |
| ``POST organizations`` ``{login}`` | an organization |
| ``GET hooks``, ``DELETE hooks`` | all webhooks with their secrets; a person removes them all |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias
from urllib.parse import urlsplit

from attrs import frozen

from adapters.contract import Request, Response, Secret
from adapters.document import Document, find, optional, parse, read
from adapters.errors import PayloadError
from adapters.github.simulator_apps import AppServer, RegisteredApp
from adapters.github.simulator_hooks import HookShelf
from adapters.github.simulator_login import Client, LoginServer
from adapters.github.world import Token
from adapters.simulation import CONTROL, as_json

_PERMISSION = re.compile(r"[a-z_]+:(read|write|admin)")


@frozen(kw_only=True)
class Scene:
    """The parts of the simulator that are told something."""

    login: LoginServer
    apps: AppServer
    hooks: HookShelf


@frozen(kw_only=True)
class _Told:
    scene: Scene
    document: Document
    now: datetime


_Telling: TypeAlias = Callable[[_Told], None]


def answer(scene: Scene, request: Request, *, now: datetime) -> Response | None:
    """Do what is told; None where this is no control of these parts. 400 says what is wrong."""
    name = urlsplit(request.url).path.removeprefix(CONTROL)
    match request.method, name:
        case "GET", "hooks":
            return as_json(200, _hooks(scene.hooks))
        case "DELETE", "hooks":
            scene.hooks.hooks.clear()
            return as_json(200, _hooks(scene.hooks))
        case "POST", _ if name in _TELLING:
            return _tell(_TELLING[name], scene, request, now)
        case _:
            return None


def _tell(telling: _Telling, scene: Scene, request: Request, now: datetime) -> Response:
    try:
        telling(_Told(scene=scene, document=parse(request.body), now=now))
    except PayloadError as error:
        return as_json(400, {"message": str(error)})
    return as_json(201, {"told": True})


def _client(told: _Told) -> None:
    expires = optional(told.document, "expires", bool)
    client = Client(
        client_id=read(told.document, "client_id", str),
        client_secret=_secret(told.document, "client_secret"),
        redirect_uri=read(told.document, "redirect_uri", str),
        expires=expires is not False,
    )
    told.scene.login.clients[client.client_id] = client


def _consent(told: _Told) -> None:
    told.scene.login.login = optional(told.document, "login", str) or told.scene.login.login
    told.scene.login.denied = optional(told.document, "denied", bool) or False


def _app(told: _Told) -> None:
    installations = read(told.document, "installations", dict)
    app = RegisteredApp(
        app_id=read(told.document, "app_id", str),
        public_key=read(told.document, "public_key", str),
        installations={
            str(key): _permissions(installations, str(key)) or () for key in installations
        },
    )
    told.scene.apps.apps[app.app_id] = app


def _token(told: _Told) -> None:
    seconds = optional(told.document, "expires_in_s", int)
    token = Token(
        secret=_secret(told.document, "token"),
        login=optional(told.document, "login", str) or "octo-bot",
        scopes=_texts(told.document, "scopes"),
        permissions=_permissions(told.document, "permissions"),
        expires_at=None if seconds is None else told.now + timedelta(seconds=seconds),
    )
    told.scene.login.world.tokens.append(token)


def _revocation(told: _Told) -> None:
    told.scene.login.revoke(read(told.document, "login", str))


def _organization(told: _Told) -> None:
    told.scene.hooks.organizations.add(read(told.document, "login", str).lower())


_TELLING: Mapping[str, _Telling] = {
    "clients": _client,
    "consent": _consent,
    "apps": _app,
    "tokens": _token,
    "revocations": _revocation,
    "organizations": _organization,
}


def _hooks(shelf: HookShelf) -> dict[str, object]:
    listed = [
        {
            "id": hook.id,
            "owner": hook.owner,
            "active": hook.active,
            "events": hook.events,
            **hook.config,
        }
        for hook in shelf.hooks.values()
    ]
    return {"count": len(listed), "hooks": listed}


def _secret(told: Document, name: str) -> Secret:
    return Secret(value=read(told, name, str).encode())


def _texts(told: Document, name: str) -> tuple[str, ...] | None:
    listed = find(told, name)
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise PayloadError("must be a list of texts", path=name)
    return tuple(listed)


def _permissions(told: Document, name: str) -> tuple[str, ...] | None:
    listed = _texts(told, name)
    if not all(_PERMISSION.fullmatch(entry) for entry in listed or ()):
        raise PayloadError("must be a list of permissions, such as issues:write", path=name)
    return listed
