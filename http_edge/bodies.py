"""What callers may send, as types: JSON in, frozen values out, the first wrong field named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import cattrs
import orjson
from attrs import Attribute, field, frozen
from cattrs import ClassValidationError, transform_error

from http_edge.errors import InvalidError, TooLargeError

BODY_LIMIT_BYTES = 1_000_000
_AT = re.compile(r"^(?P<what>.*) @ \$\.?(?P<where>.*)$", re.DOTALL)


class _WrongError(ValueError):
    """A value that is not what its field takes; says so without showing it."""


def _between(low: int, high: int) -> Callable[[object, Attribute[Any], str | None], None]:
    def check(_: object, attribute: Attribute[Any], value: str | None) -> None:
        if value is not None and not low <= len(value) <= high:
            raise _WrongError(f"{attribute.name}: must have {low} to {high} characters")

    return check


_NAME = _between(1, 200)


@frozen(kw_only=True)
class AuthBody:
    """Credentials, handed over once. A static token; other grants come with their providers."""

    token: str = field(repr=False, validator=_between(1, 10_000))


@frozen(kw_only=True)
class WebhookBody:
    """The secret that the provider signs its webhooks with, handed over once."""

    secret: str = field(repr=False, validator=_between(8, 1_000))


@frozen(kw_only=True)
class ConnectionBody:
    """``POST /v1/integrations/connections``."""

    provider_id: str = field(validator=_NAME)
    display_name: str = field(validator=_NAME)
    base_url: str | None = field(default=None, validator=_between(1, 2_000))
    capabilities: tuple[str, ...] | None = None
    auth: AuthBody | None = None
    webhook: WebhookBody | None = None
    tags: dict[str, str] = field(factory=dict)


@frozen(kw_only=True)
class ActionBody:
    """``POST /internal/integrations/actions/execute``: a NormalisedAction (PRD 10.2).

    ``provider_id`` and ``tenant_id`` may be left out; given, they must be the connection's and the caller's.
    """

    connection_id: str = field(validator=_NAME)
    canonical_type: str = field(validator=_NAME)
    target: dict[str, Any]
    payload: dict[str, Any]
    idempotency_key: str = field(validator=_NAME)
    correlation_id: str | None = field(default=None, validator=_NAME)
    provider_id: str | None = None
    tenant_id: str | None = None


_Body = TypeVar("_Body", AuthBody, WebhookBody, ConnectionBody, ActionBody)


def parse_json(raw: bytes) -> object:
    """The JSON document of a request's body.

    Raises:
        InvalidError: it is none.
        TooLargeError: it is over 1 MB.
    """
    if len(raw) > BODY_LIMIT_BYTES:
        raise TooLargeError(BODY_LIMIT_BYTES)
    try:
        return orjson.loads(raw)
    except ValueError as error:
        raise InvalidError("the body is not JSON") from error


def structure(raw: bytes, kind: type[_Body]) -> _Body:
    """The body as ``kind``; unknown and missing fields and wrong types are refused, never guessed at.

    Raises:
        InvalidError: with the path of the first wrong field.
    """
    document = parse_json(raw)
    if not isinstance(document, dict):
        raise InvalidError("the body must be a JSON object")
    try:
        return _CONVERTER.structure(document, kind)
    except ClassValidationError as error:
        raise _first_problem(error) from error


def _first_problem(error: ClassValidationError) -> InvalidError:
    problem = transform_error(error, format_exception=_told)[0]
    found = _AT.match(problem)
    what, where = (found["what"], found["where"]) if found is not None else (problem, "")
    name, named, rest = what.partition(": ")
    if named:
        return InvalidError(rest, field=".".join(filter(None, (where, name))))
    return InvalidError(what, field=where)


def _told(error: BaseException, _: type | None) -> str:
    """What is wrong, without the value that was: it may be a secret."""
    match error:
        case KeyError():
            return "is required"
        case cattrs.ForbiddenExtraKeysError(extra_fields=extra):
            return f"{min(extra)}: is not known here"
        case _WrongError():
            return str(error)
        case _:
            return "must be an object"


def _text(value: object, _: object) -> str:
    if not isinstance(value, str):
        raise _WrongError("must be a string")
    return value


def _object(value: object, _: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError("must be an object")
    return value


def _texts(value: object, _: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise _WrongError("must be a list of strings")
    return tuple(value)


def _tags(value: object, _: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
        raise _WrongError("must be an object of strings")
    return value


def _converter() -> cattrs.Converter:
    made = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    made.register_structure_hook(str, _text)
    made.register_structure_hook_func(lambda kind: kind == dict[str, Any], _object)
    made.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _texts)
    made.register_structure_hook_func(lambda kind: kind == dict[str, str], _tags)
    return made


_CONVERTER = _converter()
