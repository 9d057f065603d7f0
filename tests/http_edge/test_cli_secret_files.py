"""Secrets for the command line come from files, pipes and hidden prompts, and nothing that is told repeats them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from io import StringIO
from pathlib import Path

import click.termui
import pytest
import trio

from http_edge.commands.secret_files import LONGEST_BYTES, read_secret
from tests.http_edge.command import NOTHING, call
from tests.http_edge.scene import CONNECTIONS, Scene

CREATE = ("connections", "create", "--provider", "github", "--name", "x")


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cret", b"s3cret"),
        (b"s3cret\n", b"s3cret"),
        (b"s3cret\r\n", b"s3cret"),
        (b" s3 cret \n\n", b" s3 cret \n"),
        ("gehéim".encode(), "gehéim".encode()),
    ],
)
def test_a_secret_is_what_is_in_the_file_without_the_last_line_end(
    tmp_path: Path, content: bytes, secret: bytes
) -> None:
    (tmp_path / "secret").write_bytes(content)

    assert read_secret(str(tmp_path / "secret"), prompt="").value == secret


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"s3cret\xff", "is not UTF-8"),
        (b"s3cret" * LONGEST_BYTES, f"is over {LONGEST_BYTES} bytes"),
    ],
)
def test_a_file_without_a_secret_is_told_without_what_is_in_it(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "secret").write_bytes(content)

    result = call(*CREATE, "--token-file", str(tmp_path / "secret"), IA_API_TOKEN="x")

    assert result.exit_code == 2
    assert said in result.stderr
    assert "s3cret" not in result.output


def test_a_secret_given_in_place_of_its_file_is_not_repeated() -> None:
    result = call(*CREATE, "--token-file", "ghp_s3cret", IA_API_TOKEN="x")

    assert result.exit_code == 2
    assert "can not be read: No such file or directory" in result.stderr
    assert "ghp_s3cret" not in result.output


def test_standard_input_holds_one_secret() -> None:
    """The second finds nothing left there."""
    result = call(
        *CREATE,
        "--token-file",
        "-",
        "--webhook-secret-file",
        "-",
        IA_API_TOKEN="x",
        typed="s3cret",
    )

    assert result.exit_code == 2
    assert "is empty" in result.stderr


def typed_at_a_terminal(arguments: tuple[str, ...], secret: bytes, **environ: str) -> bytes:
    """What a terminal showed of a call in which ``secret`` was typed when it was asked for."""
    ours, theirs = pty.openpty()
    known = {name: value for name, value in os.environ.items() if name not in NOTHING}
    with subprocess.Popen(
        [sys.executable, "-m", "http_edge", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**known, **environ},
        start_new_session=True,  # a prompt is asked on the controlling terminal, if there is one
    ) as process:
        os.close(theirs)
        shown = b""
        while not shown.endswith(b": "):
            shown += os.read(ours, 1000)
        os.write(ours, secret + b"\n")
        while True:
            try:
                more = os.read(ours, 1000)
            except OSError:  # Linux: the other end is closed
                break
            if not more:
                break
            shown += more
        assert process.wait(timeout=60) == 0, shown
    os.close(ours)
    return shown


@pytest.mark.thorough
async def test_at_a_terminal_it_is_asked_for_and_not_shown(scene: Scene) -> None:
    token = scene.around.github_token.value
    arguments = (*CREATE, "--base-url", scene.around.github_url, "--token-file", "-")
    told = {"IA_API_URL": scene.url, "IA_API_TOKEN": scene.token("tenant_admin")}

    shown = await trio.to_thread.run_sync(lambda: typed_at_a_terminal(arguments, token, **told))

    assert shown.startswith(b"token: ")
    assert token not in shown
    assert b"connection_id" in shown
    listed = (await scene.call("tenant_admin", "GET", CONNECTIONS)).json()["connections"]
    path = f"{CONNECTIONS}/{listed[0]['connection_id']}/verify"
    verified = await scene.call("tenant_admin", "POST", path)
    assert verified.json()["verification"]["passed"], "the token that was typed"


def test_what_is_typed_at_a_terminal_is_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(click.termui, "hidden_prompt_func", lambda _: "typed by a person")

    assert read_secret("-", prompt="token").value == b"typed by a person"
