"""What people see: whole on any terminal and on none, and never what a value of the API would do to a terminal."""

from __future__ import annotations

import sys
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from rich.console import Console

from http_edge.commands.showing import console_on, show_record, show_table, stdout
from http_edge.commands.wording import fields_of, plain, worded

ID = "0194aaaa-bbbb-7ccc-8ddd-eeeeffff0000"
LONG = "a display name that is far too long for a narrow terminal, and then some"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(width: int) -> Console:
    return Console(file=Terminal(), width=width, highlight=False, markup=False, color_system=None)


def text_of(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [24, 40, 80, 200])
def test_a_table_fits_the_terminal_and_loses_nothing(width: int) -> None:
    console = on_terminal(width)

    show_table(console, ("id", "name"), [{"id": ID, "name": LONG}])

    shown = text_of(console)
    assert max(map(len, shown.splitlines())) <= width
    columns = "".join(line[: line.find("  ") + 1] for line in shown.splitlines())
    assert width < 80 or ID in shown
    for letter in set(ID + LONG) - {" "}:
        assert shown.count(letter) >= (ID + LONG).count(letter), (letter, columns)


def test_where_there_is_no_terminal_a_row_is_a_line_and_whole() -> None:
    stream = StringIO()

    show_table(console_on(stream), ("id", "name"), [{"id": ID, "name": LONG * 20}] * 2)

    heading, *rows = stream.getvalue().splitlines()
    assert heading.split() == ["id", "name"]
    assert rows == [f"{ID}  {LONG * 20}"] * 2


def test_a_table_of_nothing_has_its_heading() -> None:
    stream = StringIO()

    show_table(console_on(stream), ("id", "last_verified_at"), [])

    assert stream.getvalue() == "id  last verified at\n"


def test_a_record_is_a_line_a_value_then_its_tables() -> None:
    stream = StringIO()
    document = {
        "connection_id": ID,
        "reason": None,
        "tags": {"team": "blue"},
        "capabilities": ["webhook", "outbound_actions"],
        "settings": {},
        "exchanges": [{"step": 0, "state": "sent"}, {"step": 1, "state": "failed"}],
        "passed": True,
    }

    show_record(console_on(stream), document)

    assert stream.getvalue().splitlines() == [
        f"connection_id  {ID}",
        "reason         -",
        "tags.team      blue",
        "capabilities   webhook, outbound_actions",
        "settings       -",
        "passed         yes",
        "",
        "exchanges",
        "step  state",
        "0     sent",
        "1     failed",
    ]


def test_a_url_is_not_broken_by_a_narrow_terminal() -> None:
    """The terminal wraps it itself, and so copies it whole."""
    console = on_terminal(20)
    url = f"https://hooks.example.com/v1/integrations/webhooks/github/{'t' * 43}"

    show_record(console, {"webhook": {"url": url}})

    assert url in text_of(console)


EVIL = "\x1b]0;owned\x07\x1b[2J\r\n[bold]x[/bold] :smile: \u202eevil\u2066"


def test_what_a_value_says_is_shown_and_not_done() -> None:
    for console in (on_terminal(300), console_on(StringIO())):
        show_table(console, ("name",), [{"name": EVIL}])
        show_record(console, {"name": EVIL, "tags": {EVIL: EVIL}})

        shown = text_of(console).replace("\n", "")
        assert all(character.isprintable() for character in shown)
        assert "\\x1b]0;owned\\x07\\x1b[2J\\r\\n[bold]x[/bold] :smile: \\u202eevil\\u2066" in shown


def test_letters_of_every_script_are_shown() -> None:
    assert plain("Grüße, 東京 🚀") == "Grüße, 東京 🚀"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        ({}, "-"),
        (False, "no"),
        (0, "0"),
        (1.5, "1.5"),
        (["a", None], "a, -"),
        ({"a": [1]}, '{"a":[1]}'),
        ([{"a": 1}], '[{"a":1}]'),
    ],
)
def test_values_as_people_read_them(value: object, shown: str) -> None:
    assert worded(value) == shown


def test_the_fields_of_a_schema_are_named_with_what_they_are() -> None:
    schema = {
        "required": ["host"],
        "properties": {
            "host": {"type": "string", "description": "Where it is."},
            "depth": {
                "anyOf": [{"type": "integer", "description": "How deep."}, {"type": "null"}]
            },
            "mode": {"enum": ["a", "b"]},
            "more": {},
        },
    }

    assert fields_of(schema) == [
        {"field": "host", "needed": True, "is": "string", "what": "Where it is."},
        {"field": "depth", "needed": False, "is": "integer", "what": "How deep."},
        {"field": "mode", "needed": False, "is": "a, b", "what": None},
        {"field": "more", "needed": False, "is": "any", "what": None},
    ]
    assert fields_of({}) == []


def test_letters_that_a_terminal_does_not_know_are_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding="ascii"))

    show_record(stdout(), {"name": "東京"})

    sys.stdout.flush()
    assert written.getvalue() == b"name  \\u6771\\u4eac\n"


def test_a_standard_output_of_another_kind_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    monkeypatch.setattr(sys, "stdout", written)

    show_record(stdout(), {"name": "x"})

    assert written.getvalue() == "name  x\n"
