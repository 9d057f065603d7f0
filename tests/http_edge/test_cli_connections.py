"""``connections``: a whole life over the API of a running node, and what stays out of sight on the way."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import orjson
import pytest

from tests.http_edge.command import call, cli, done
from tests.http_edge.scene import CONNECTIONS, WEBHOOK_SECRET, Scene

pytestmark = pytest.mark.thorough

NOBODY = str(UUID(int=7))


def token_file(scene: Scene, folder: Path) -> str:
    path = folder / "token"
    path.write_bytes(scene.around.github_token.value + b"\n")
    return str(path)


async def created(scene: Scene, folder: Path, *more: str, name: str = "rocket") -> str:
    made = await cli(
        scene,
        *("connections", "create", "--json", "--provider", "github", "--name", name),
        *("--base-url", scene.around.github_url, "--token-file", token_file(scene, folder)),
        *("--webhook-secret-file", "-", *more),
        typed=WEBHOOK_SECRET,
    )
    return str(done(made)["connection_id"])


async def test_a_connection_is_made_tried_stopped_and_deleted(
    scene: Scene, tmp_path: Path
) -> None:
    one = await created(scene, tmp_path, "--tag", "team=blue", "--tag", "note=a=b")

    answers = [
        done(await cli(scene, "connections", verb, one, "--json"))
        for verb in ("verify", "suspend", "resume", "disable", "resume")
    ]
    gone = done(await cli(scene, "connections", "delete", one, "--yes", "--json"))

    states = [answer["status"] for answer in answers]
    assert states == ["active", "suspended", "active", "suspended", "pending_verification"]
    assert answers[3]["reason"] == "disabled"
    assert gone["status"] == "deleted"
    assert gone["tags"] == {"team": "blue", "note": "a=b"}
    assert WEBHOOK_SECRET not in scene.log.getvalue()


async def test_json_is_the_apis_answer_to_the_byte(scene: Scene, tmp_path: Path) -> None:
    one = await created(scene, tmp_path)

    shown = await cli(scene, "connections", "show", one, "--json")
    listed = await cli(scene, "connections", "list", "--json")

    said = await scene.call("tenant_admin", "GET", f"{CONNECTIONS}/{one}")
    assert shown.stdout_bytes == said.content + b"\n"
    page = await scene.call("tenant_admin", "GET", CONNECTIONS)
    assert listed.stdout_bytes == page.content + b"\n"


async def test_what_is_created_is_told_with_its_webhook_url_and_no_secret(
    scene: Scene, tmp_path: Path
) -> None:
    made = await cli(
        scene,
        *("connections", "create", "--provider", "github", "--name", "rocket"),
        *("--base-url", scene.around.github_url, "--token-file", "-"),
        typed=scene.around.github_token.value,
    )

    assert made.exit_code == 0, made.output
    assert f"{scene.url}/v1/integrations/webhooks/github/" in made.stdout
    assert "status                pending_verification" in made.stdout
    assert scene.around.github_token.value.decode() not in made.output


async def test_a_verification_that_does_not_pass_is_shown_and_exits_1(
    scene: Scene, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text("ghp_wrong")
    one = await created(scene, tmp_path, "--token-file", str(tmp_path / "wrong"))

    tried = await cli(scene, "connections", "verify", one)

    assert tried.exit_code == 1
    assert "verification.passed" in tried.stdout
    assert tried.stderr.startswith("Error: not passed: ")


async def test_delete_asks_first_and_names_what_it_would_delete(
    scene: Scene, tmp_path: Path
) -> None:
    one = await created(scene, tmp_path, name="ro\x1b[31mcket")

    refused = await cli(scene, "connections", "delete", one, typed="n\n")
    unanswered = await cli(scene, "connections", "delete", one)
    agreed = await cli(scene, "connections", "delete", one, "--json", typed="y\n")

    assert (refused.exit_code, unanswered.exit_code) == (1, 1)
    assert "Delete ro\\x1b[31mcket (github) and forget its secrets?" in refused.stderr
    assert refused.stdout == ""
    assert orjson.loads(agreed.stdout)["status"] == "deleted"


async def test_a_change_that_was_made_meanwhile_is_not_written_over(
    scene: Scene, tmp_path: Path
) -> None:
    one = await created(scene, tmp_path)
    done(await cli(scene, "connections", "verify", one, "--json"))
    version = (await cli(scene, "connections", "show", one)).stdout.split()[1]

    late = await cli(scene, "connections", "suspend", one, "--if-match", str(int(version) - 1))
    exact = await cli(scene, "connections", "suspend", one, "--if-match", version, "--json")
    whatever = await cli(scene, "connections", "resume", one, "--if-match", "*", "--json")

    assert late.exit_code == 1
    assert "(412 PRECONDITION_FAILED, correlation id " in late.stderr
    assert done(exact)["status"] == "suspended"
    assert done(whatever)["status"] == "active"


async def test_rotate_replaces_what_it_is_told_to(scene: Scene, tmp_path: Path) -> None:
    one = await created(scene, tmp_path)
    (tmp_path / "secret").write_text("another-secret-of-the-hook\n")

    rotated = await cli(
        scene,
        *("connections", "rotate", one, "--json", "--webhook-url"),
        *("--webhook-secret-file", str(tmp_path / "secret")),
        *("--token-file", token_file(scene, tmp_path)),
    )

    rotation = done(rotated)["rotation"]
    assert rotation["webhook_url"].startswith(f"{scene.url}/v1/integrations/webhooks/github/")
    assert rotation["old_valid_until"] is not None
    assert "another-secret-of-the-hook" not in rotated.output


async def test_lists_go_on_through_the_pages(scene: Scene, tmp_path: Path) -> None:
    ids = [await created(scene, tmp_path, name=f"rocket {n}") for n in range(3)]

    first = await cli(scene, "connections", "--limit", "2")
    cursor = first.stdout.splitlines()[-1].removeprefix("more: --cursor ")
    rest = await cli(scene, "connections", "list", "--cursor", cursor)

    assert first.exit_code == rest.exit_code == 0
    assert [one in first.stdout for one in ids] == [True, True, False]
    assert [one in rest.stdout for one in ids] == [False, False, True]
    assert "more:" not in rest.stdout


async def test_lists_are_narrowed(scene: Scene, tmp_path: Path) -> None:
    blue = await created(scene, tmp_path, "--tag", "team=blue", name="a")
    red = await created(scene, tmp_path, "--tag", "team=red", name="b")
    done(await cli(scene, "connections", "verify", blue, "--json"))

    async def listed(*options: str) -> set[str]:
        page = done(await cli(scene, "connections", "list", "--json", *options))
        return {entry["connection_id"] for entry in page["connections"]}

    assert await listed() == {blue, red}
    assert await listed("--tag", "team=red") == {red}
    assert await listed("--status", "active") == {blue}
    assert await listed("--status", "active", "--status", "pending_verification") == {blue, red}
    assert await listed("--provider", "gopher") == set()


async def test_health_says_how_a_connection_does(scene: Scene) -> None:
    connection = await scene.active()
    await scene.deliver(connection)
    await scene.arrived(1)

    shown = await cli(scene, "connections", "health", connection.connection_id, role="viewer")

    assert shown.exit_code == 0, shown.output
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines() if "  " in line)
    assert lines["status"] == "active"
    assert lines["deliveries.forwarded"] == "1"


async def test_another_tenants_connection_does_not_exist(scene: Scene) -> None:
    """P6."""
    connection = await scene.active()

    for verb in ("show", "verify", "suspend", "delete"):
        refused = await cli(scene, "connections", verb, connection.connection_id, tenant="initech")
        assert refused.exit_code == 1
        assert refused.stderr.startswith("Error: no such connection (404 NOT_FOUND, ")
        assert len(refused.stderr.splitlines()) == 1


async def test_subscribe_leaves_one_webhook_at_the_provider(scene: Scene) -> None:
    connection = await scene.active()

    answers = [
        await cli(scene, "connections", "subscribe", connection.connection_id, "--json")
        for _ in range(2)
    ]

    assert all("verification" in orjson.loads(answer.stdout) for answer in answers)


USAGE = [
    (("create", "--name", "x"), "--provider"),
    (("create", "--provider", "github"), "--name"),
    (("create", "--provider", "github", "--name", "x", "--setting", "host"), "NAME=VALUE"),
    (("create", "--provider", "github", "--name", "x", "--setting", "host=x.y"), "JSON"),
    (("create", "--provider", "github", "--name", "x", "--tag", "=b"), "NAME=VALUE"),
    (("create", "--provider", "github", "--name", "x", "--idempotency-key", "a b"), "ASCII"),
    (("create", "--provider", "github", "--name", "x", "--client-id", "c"), "--auth must say"),
    (
        ("create", "--provider", "github", "--name", "x", "--client-id", "c", "--app-id", "a"),
        "do not go together",
    ),
    (
        ("create", "--provider", "github", "--name", "x", "--auth", "token", "--app-id", "a"),
        "do not go together",
    ),
    (("create", "--provider", "github", "--name", "x", "--ca-bundle", "/none"), "does not exist"),
    (("show", "rocket"), "UUID"),
    (("rotate", NOBODY), "what is to be replaced"),
    (("suspend", NOBODY, "--if-match", "W/3"), "must be a version"),
    (("list", "--limit", "0"), "--limit"),
    (("list", "--status", "asleep"), "--status"),
    (("list", "--url", "ftp://x"), "http(s)"),
    (("list", "--url", "http://ada:pa55word@x"), "without user"),
    (("list", "--url", "http://x:pa55word"), "http(s)"),
    (("list", "--deadline", "0"), "--deadline"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE)
def test_a_wrong_call_is_explained_and_asks_nobody(arguments: tuple[str, ...], said: str) -> None:
    result = call("connections", *arguments, IA_API_TOKEN="t0ken-of-somebody")

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", "").split())
    assert result.stdout == ""
    assert "t0ken-of-somebody" not in result.stderr
    assert "pa55word" not in result.stderr


def test_a_secret_of_its_own_and_one_of_ours_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a-secret")

    result = call(
        *("connections", "create", "--provider", "github", "--name", "x", "--webhook"),
        *("--webhook-secret-file", str(tmp_path / "secret")),
        IA_API_TOKEN="x",
    )

    assert result.exit_code == 2
    assert "a-secret" not in result.output


def test_no_option_takes_a_secret_itself() -> None:
    for command in ("create", "rotate"):
        shown = call("connections", command, "--help").stdout
        for option in ("--token ", "--private-key ", "--client-secret ", "--webhook-secret "):
            assert option not in shown
        assert "--token-file FILE" in shown


async def test_login_says_where_a_person_logs_in_and_that_makes_it_active(
    scene: Scene, tmp_path: Path
) -> None:
    """IT-IA-01, from the command line."""
    (tmp_path / "client").write_text("the-clients-own-secret")
    client = {"client_id": "Iv1.rocket", "client_secret": "the-clients-own-secret"}
    redirect = f"{scene.url}/v1/integrations/oauth/callback"
    await scene.control(scene.around.github_url, "clients", {**client, "redirect_uri": redirect})
    made = await cli(
        scene,
        *("connections", "create", "--json", "--provider", "github", "--name", "rocket"),
        *("--base-url", scene.around.github_url, "--auth", "oauth2", "--client-id", "Iv1.rocket"),
        *("--client-secret-file", str(tmp_path / "client")),
    )
    one = str(done(made)["connection_id"])

    told = await cli(scene, "connections", "login", one)
    url = told.stdout.splitlines()[0].split()[1]
    back = (await scene.http.get(url)).headers["location"]
    await scene.http.get(back)
    shown = done(await cli(scene, "connections", "show", one, "--json"))

    assert told.stdout.startswith("authorization_url  ")
    assert shown["status"] == "active"
    assert "the-clients-own-secret" not in told.output
