"""Answers as the siblings' framework shapes them: the errors arrive one level deeper than every document says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from adapters.contract import Request, Response
from adapters.simulation import as_json

_INPUT_SHOWN = 200


class AnswerError(Exception):
    """Ends the work on a request with an answer, as the framework's own exception does."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"answered {response.status}")
        self.response = response


def detail(status: int, what: object) -> AnswerError:
    """A raised error: its text or object arrives under ``detail``."""
    return AnswerError(as_json(status, {"detail": what}))


def error(status: int, code: str, message: str) -> AnswerError:
    """A raised error in ZeroUI's shape."""
    return detail(status, {"error": {"code": code, "message": message, "details": {}}})


def bare_error(
    status: int, code: str, message: str, *, retry_after: int | None = None
) -> AnswerError:
    """An error made by a middleware: not wrapped in ``detail``."""
    headers = () if retry_after is None else (("retry-after", str(retry_after)),)
    return AnswerError(
        as_json(status, {"error": {"code": code, "message": message}}, headers=headers)
    )


def crashed() -> AnswerError:
    """What comes out when nothing caught an exception there."""
    headers = (("content-type", "text/plain; charset=utf-8"),)
    return AnswerError(Response(status=500, headers=headers, body=b"Internal Server Error"))


def fault(kind: str, loc: tuple[str | int, ...], message: str, given: object) -> dict[str, Any]:
    """One entry of a 422. It quotes what was sent, as the real ones do: never log it."""
    shown = given if not isinstance(given, str) else given[:_INPUT_SHOWN]
    return {"type": kind, "loc": ["body", *loc], "msg": message, "input": shown}


def unprocessable(faults: list[dict[str, Any]]) -> AnswerError:
    """A body that does not fit its model."""
    return detail(422, faults)


def body_of(request: Request) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        AnswerError: 422.
    """
    try:
        document = orjson.loads(request.body)
    except orjson.JSONDecodeError as reason:
        raise unprocessable([fault("json_invalid", (), "JSON decode error", None)]) from reason
    if not isinstance(document, dict):
        raise unprocessable(
            [fault("model_attributes_type", (), "Input should be an object", None)]
        )
    return document


def demand(document: Mapping[str, Any], **kinds: type) -> None:
    """Check that fields are there and of their type.

    Raises:
        AnswerError: 422 with every field that is not.
    """
    faults = []
    for name, kind in kinds.items():
        if name not in document:
            faults.append(fault("missing", (name,), "Field required", None))
        elif not isinstance(document[name], kind):
            message = f"Input should be a valid {kind.__name__}"
            faults.append(fault(f"{kind.__name__}_type", (name,), message, document[name]))
    if faults:
        raise unprocessable(faults)
