"""A connection's life over the API: versions, changes, suspension, rotation, deletion."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from adapters.contract import Secret
from http_edge.surroundings import REPOSITORY
from tests.http_edge.scene import CONNECTIONS, EXECUTE, Connected, Scene, error_of

VERBS = ("suspend", "resume", "disable", "delete")


def path_of(connection: Connected, verb: str = "") -> str:
    return f"{CONNECTIONS}/{connection.connection_id}{verb and f'/{verb}'}"


async def admin(
    scene: Scene, method: str, path: str, body: object = None, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await scene.call("tenant_admin", method, path, body, headers=named)


async def version(scene: Scene, connection: Connected) -> str:
    answer = await admin(scene, "GET", path_of(connection))
    return str(answer.headers["etag"])


async def test_a_connection_is_tagged_with_its_version(scene: Scene) -> None:
    """RFC 9110: who has it already is told so, without it."""
    connection = await scene.create()

    shown = await admin(scene, "GET", path_of(connection))
    known = await admin(scene, "GET", path_of(connection), if_none_match=shown.headers["etag"])
    older = await admin(scene, "GET", path_of(connection), if_none_match='"0"')

    assert shown.headers["etag"] == '"1"'
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["etag"] == shown.headers["etag"]
    assert older.status_code == 200


async def test_a_change_changes_what_it_names_and_the_version(scene: Scene) -> None:
    connection = await scene.active()
    before = (await admin(scene, "GET", path_of(connection))).json()
    edits = {"display_name": "renamed", "tags": {"team": "engines"}}

    changed = await admin(scene, "PATCH", path_of(connection), edits)

    assert changed.status_code == 200
    after = changed.json()
    assert {name for name in after if after[name] != before[name]} == {
        "display_name",
        "tags",
        "updated_at",
    }
    assert changed.headers["etag"] == await version(scene, connection)


async def test_another_address_or_other_settings_are_verified_anew(scene: Scene) -> None:
    connection = await scene.active()

    changed = await admin(
        scene, "PATCH", path_of(connection), {"settings": {"repositories": [REPOSITORY]}}
    )
    verified = await admin(scene, "POST", path_of(connection, "verify"))

    assert changed.json()["status"] == "pending_verification"
    assert changed.json()["settings"] == {"repositories": [REPOSITORY]}
    assert verified.json()["status"] == "active"


WRONG_EDITS: list[tuple[dict[str, Any], int, str | None]] = [
    ({}, 400, None),
    ({"provider_id": "gitlab"}, 400, "provider_id"),
    ({"display_name": ""}, 400, "display_name"),
    ({"base_url": "https://10.0.0.1"}, 400, "base_url"),
    ({"base_url": "https://no-such-host.invalid"}, 422, "base_url"),
    ({"capabilities": ["telepathy"]}, 422, "capabilities"),
    ({"capabilities": []}, 422, "capabilities"),
    ({"settings": {"colour": "red"}}, 422, "settings.colour"),
    ({"settings": {"repositories": "all"}}, 422, "settings.repositories"),
    ({"network": {"proxy": "http://10.0.0.1"}}, 422, "network.proxy"),
]


async def test_a_wrong_change_names_its_field_and_changes_nothing(scene: Scene) -> None:
    connection = await scene.create()
    before = await version(scene, connection)

    for edits, status, field in WRONG_EDITS:
        answer = await admin(scene, "PATCH", path_of(connection), edits)
        assert answer.status_code == status, edits
        assert error_of(answer)["details"].get("field") == field, edits

    assert await version(scene, connection) == before


async def test_a_capability_is_added_only_with_what_it_needs(scene: Scene) -> None:
    silent = await scene.create(auth=None)

    able = await admin(
        scene, "PATCH", path_of(silent), {"capabilities": ["webhook", "outbound_actions"]}
    )
    fewer = await admin(
        scene, "PATCH", path_of(await scene.create()), {"capabilities": ["webhook"]}
    )

    assert able.status_code == 422
    assert error_of(able)["details"]["field"] == "auth"
    assert fewer.json()["enabled_capabilities"] == ["webhook"]


async def test_a_change_is_made_only_to_the_version_that_was_seen(scene: Scene) -> None:
    """If-Match: who decided by an older one looks again; * and none change whatever is there."""
    connection = await scene.create()
    seen = await version(scene, connection)

    first = await admin(scene, "PATCH", path_of(connection), {"display_name": "a"}, if_match=seen)
    second = await admin(scene, "PATCH", path_of(connection), {"display_name": "b"}, if_match=seen)
    any_of = await admin(scene, "PATCH", path_of(connection), {"display_name": "c"}, if_match="*")
    strange = await admin(scene, "PATCH", path_of(connection), {"display_name": "d"}, if_match="1")

    assert [each.status_code for each in (first, second, any_of, strange)] == [200, 412, 200, 400]
    assert error_of(second)["code"] == "PRECONDITION_FAILED"
    assert error_of(strange)["details"]["field"] == "If-Match"
    assert (await admin(scene, "GET", path_of(connection))).json()["display_name"] == "c"


@pytest.mark.parametrize("verb", ["verify", "suspend", "resume", "disable", "rotate", ""])
async def test_every_verb_looks_at_the_version(scene: Scene, verb: str) -> None:
    connection = await scene.active()
    body = {"webhook_url": True} if verb == "rotate" else None
    method = "POST" if verb else "DELETE"

    stale = await admin(scene, method, path_of(connection, verb), body, if_match='"0"')

    assert stale.status_code == 412
    assert (await admin(scene, "GET", path_of(connection))).json()["status"] == "active"


async def test_what_comes_in_while_suspended_is_kept_and_released(scene: Scene) -> None:
    """FR-2: nothing is silently dropped; nothing is sent meanwhile."""
    connection = await scene.active()
    await scene.deliver(connection, "before")
    await scene.arrived(1)

    suspended = await admin(
        scene, "POST", path_of(connection, "suspend"), {"reason": "the fair is on"}
    )
    kept = await scene.deliver(connection, "meanwhile")
    refused = await scene.call("module", "POST", EXECUTE, scene.action_body(connection, "k"))
    held = await scene.signals()
    resumed = await admin(scene, "POST", path_of(connection, "resume"))

    assert suspended.json()["status"] == "suspended"
    assert suspended.json()["reason"] == "the fair is on"
    assert kept.status_code == 202
    assert refused.status_code == 409
    assert error_of(refused)["code"] == "CONNECTION_NOT_ACTIVE"
    assert len(held) == 1
    assert resumed.json()["status"] == "active"
    signals = await scene.arrived(2)
    assert [each["correlation_id"] for each in signals] == ["before", "meanwhile"]


async def test_a_patch_of_the_status_is_the_verb(scene: Scene) -> None:
    """PRD 11.1: PATCH updates the status too; only alone, so that one request is one change."""
    connection = await scene.active()

    suspended = await admin(scene, "PATCH", path_of(connection), {"status": "suspended"})
    twice = await admin(scene, "PATCH", path_of(connection), {"status": "suspended"})
    resumed = await admin(scene, "PATCH", path_of(connection), {"status": "active"})
    both = await admin(
        scene, "PATCH", path_of(connection), {"status": "suspended", "display_name": "x"}
    )
    wrong = await admin(scene, "PATCH", path_of(connection), {"status": "deleted"})

    assert suspended.json()["status"] == "suspended"
    assert twice.status_code == 409
    assert resumed.json()["status"] == "active"
    assert (both.status_code, error_of(both)["details"]["field"]) == (422, "status")
    assert (wrong.status_code, error_of(wrong)["details"]["field"]) == (400, "status")


async def test_a_disabled_connection_takes_nothing_in_until_it_is_verified_again(
    scene: Scene,
) -> None:
    connection = await scene.active()
    await scene.deliver(connection)

    disabled = await admin(scene, "POST", path_of(connection, "disable"))
    gone = await scene.deliver(connection)
    resumed = await admin(scene, "POST", path_of(connection, "resume"))
    back = await scene.deliver(connection)

    assert disabled.json()["status"] == "suspended"
    assert gone.status_code == 410
    assert error_of(gone)["code"] == "GONE"
    assert resumed.json()["status"] == "pending_verification"
    assert back.status_code == 202


async def test_a_deleted_connection_is_gone_for_all_but_those_who_ask_what_became_of_it(
    scene: Scene,
) -> None:
    connection = await scene.active()
    await scene.deliver(connection)  # so that its endpoint is remembered

    deleted = await admin(scene, "DELETE", path_of(connection))
    hook = await scene.deliver(connection)
    again = await admin(scene, "DELETE", path_of(connection))
    verbs = [await admin(scene, "POST", path_of(connection, verb)) for verb in VERBS[:3]]
    action = await scene.call("module", "POST", EXECUTE, scene.action_body(connection, "k"))
    shown = await admin(scene, "GET", path_of(connection))
    listed = (await admin(scene, "GET", CONNECTIONS)).json()["connections"]
    dead = (await admin(scene, "GET", f"{CONNECTIONS}?status=deleted")).json()["connections"]

    assert deleted.json()["status"] == "deleted"
    assert hook.status_code == 410
    assert [again.status_code, *(each.status_code for each in verbs)] == [404] * 4
    assert action.status_code == 409
    assert shown.json()["status"] == "deleted"
    assert listed == []
    assert [each["connection_id"] for each in dead] == [connection.connection_id]


@pytest.mark.parametrize(
    ("before", "verb"), [("active", "resume"), ("pending", "resume"), ("suspended", "suspend")]
)
async def test_a_verb_that_does_not_fit_the_state_is_409(
    scene: Scene, before: str, verb: str
) -> None:
    connection = await (scene.create() if before == "pending" else scene.active())
    if before == "suspended":
        await admin(scene, "POST", path_of(connection, "suspend"))

    answer = await admin(scene, "POST", path_of(connection, verb))

    assert answer.status_code == 409
    assert error_of(answer)["code"] == "CONFLICT"


async def test_a_new_signing_secret_holds_at_once_and_the_old_one_for_its_grace(
    scene: Scene,
) -> None:
    """FR-2: no delivery of the change-over is lost, though the endpoint was remembered."""
    connection = await scene.active()
    await scene.deliver(connection)
    renewed = Secret(value=b"a new one, longer than eight")

    rotated = await admin(
        scene,
        "POST",
        path_of(connection, "rotate"),
        {"webhook": {"secret": renewed.value.decode()}},
    )
    by_new = scene.delivery(connection, secret=renewed)
    by_old = scene.delivery(connection)
    taken = [await scene.post(connection.webhook_url, each) for each in (by_new, by_old)]

    assert rotated.status_code == 200
    assert rotated.json()["rotation"]["webhook_url"] is None
    assert rotated.json()["rotation"]["old_valid_until"] is not None
    assert [answer.status_code for answer in taken] == [202, 202]
    assert renewed.value.decode() not in rotated.text


async def test_a_new_webhook_url_is_told_once_and_the_old_one_is_good_for_its_grace(
    scene: Scene,
) -> None:
    connection = await scene.active()

    rotated = await admin(scene, "POST", path_of(connection, "rotate"), {"webhook_url": True})
    url = rotated.json()["rotation"]["webhook_url"]
    by_new = await scene.post(url, scene.delivery(connection))
    by_old = await scene.deliver(connection)

    assert url.startswith(f"{scene.url}/v1/integrations/webhooks/github/")
    assert url != connection.webhook_url
    assert (by_new.status_code, by_old.status_code) == (202, 202)


async def test_new_credentials_are_tried_before_they_replace_the_old(scene: Scene) -> None:
    connection = await scene.active()
    right = scene.around.github_token.value.decode()

    refused = await admin(
        scene, "POST", path_of(connection, "rotate"), {"auth": {"token": "ghp_" + "0" * 36}}
    )
    taken = await admin(scene, "POST", path_of(connection, "rotate"), {"auth": {"token": right}})

    assert refused.status_code == 422
    assert error_of(refused)["code"] == "CREDENTIALS_REFUSED"
    assert taken.status_code == 200
    assert taken.json()["status"] == "active"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, None),
        ({"auth": {"token": ""}}, 400, "auth.token"),
        ({"webhook": {"secret": "short"}}, 400, "webhook.secret"),
        ({"webhook_url": "yes"}, 400, "webhook_url"),
        (
            {"auth": {"method": "client_credentials", "client_id": "a", "client_secret": "b"}},
            422,
            "auth.method",
        ),
    ],
)
async def test_a_wrong_rotation_names_its_field(
    scene: Scene, body: dict[str, Any], status: int, field: str | None
) -> None:
    connection = await scene.create()

    answer = await admin(scene, "POST", path_of(connection, "rotate"), body)

    assert answer.status_code == status
    assert error_of(answer)["details"].get("field") == field


async def test_the_providers_webhook_is_made_once_and_taken_away_again(scene: Scene) -> None:
    """FR-2: with no secret given, ours; asked twice, one webhook; signed by it, taken."""
    connection = await scene.active(webhook={}, settings={"repositories": [REPOSITORY]})

    first = await admin(scene, "POST", path_of(connection, "subscribe"))
    again = await admin(scene, "POST", path_of(connection, "subscribe"))

    assert first.json()["verification"]["passed"] is True, first.text
    assert again.json()["verification"]["passed"] is True
    (hook,) = again.json()["verification"]["details"]["hooks"]
    assert hook["target"] == REPOSITORY


async def test_a_connection_without_webhooks_can_not_be_subscribed(scene: Scene) -> None:
    connection = await scene.active(webhook=None)

    answer = await admin(scene, "POST", path_of(connection, "subscribe"))

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "CAPABILITY_MISSING"


async def test_connections_are_found_by_provider_status_and_tags(scene: Scene) -> None:
    red = await scene.create(tags={"colour": "red", "team": "engines"})
    blue = await scene.active(tags={"colour": "blue", "team": "engines"})

    async def found(query: str) -> set[str]:
        answer = await admin(scene, "GET", f"{CONNECTIONS}?{query}")
        return {each["connection_id"] for each in answer.json()["connections"]}

    both = {red.connection_id, blue.connection_id}
    assert await found("provider_id=github") == both
    assert await found("provider_id=gitlab") == set()
    assert await found("status=active") == {blue.connection_id}
    assert await found("status=active&status=pending_verification") == both
    assert await found("tag=team:engines") == both
    assert await found("tag=team:engines&tag=colour:red") == {red.connection_id}
    assert await found("tag=colour:green") == set()
