"""The options that say how we prove ourselves to a provider; each secret comes from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any

import click

from adapters.contract import Secret
from adapters.manifest import AuthMethod
from http_edge.commands.secret_files import secret_option

_CLIENT = frozenset({"client_id", "client_secret"})
_FIELDS: Mapping[AuthMethod, frozenset[str]] = MappingProxyType(
    {
        AuthMethod.TOKEN: frozenset({"token"}),
        AuthMethod.APP: frozenset({"app_id", "installation_id", "private_key"}),
        AuthMethod.CLIENT_CREDENTIALS: _CLIENT,
        AuthMethod.OAUTH2: _CLIENT,
    }
)
_OPTIONS = (
    click.option(
        "--auth",
        type=click.Choice([method.value for method in AuthMethod]),
        help="how we prove ourselves; needed only with --client-id",
    ),
    secret_option("--token-file", "a token that a person made"),
    click.option("--client-id", help="of an OAuth client"),
    secret_option("--client-secret-file", "the OAuth client's secret"),
    click.option("--app-id"),
    click.option("--installation-id", help="of the app, at the tenant's account"),
    secret_option("--private-key-file", "the app's private key, PEM"),
)


def with_credentials(command: Callable[..., None]) -> Callable[..., None]:
    """A command that is handed ``auth``, the API's document of credentials, or None if there are none."""

    @wraps(command)
    def run(*args: Any, **given: Any) -> None:  # noqa: ANN401 - an option each
        method = given.pop("auth")
        names = {name for fields in _FIELDS.values() for name in fields}
        told = {name: given.pop(name, None) or given.pop(f"{name}_file", None) for name in names}
        command(*args, auth=document(method, told), **given)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


def document(method: str | None, told: Mapping[str, str | Secret | None]) -> dict[str, str] | None:
    """The credentials as the API takes them.

    Raises:
        click.UsageError: they are not of one method, or of more than one.
    """
    given = {name: value for name, value in told.items() if value is not None}
    if method is None and not given:
        return None
    fits = [each for each, names in _FIELDS.items() if set(given) <= names]
    if method is not None:
        fits = [each for each in fits if each == method]
    if not fits:
        raise click.UsageError(f"{_options(given)} do not go together")
    if len(fits) > 1:
        raise click.UsageError(f"--auth must say which: {' or '.join(fits)}")
    return {
        "method": fits[0].value,
        **{name: _text(value) for name, value in sorted(given.items())},
    }


def _text(value: str | Secret) -> str:
    return value.value.decode() if isinstance(value, Secret) else value


def _options(given: Mapping[str, object]) -> str:
    return ", ".join(["--auth", *(f"--{name.replace('_', '-')}" for name in sorted(given))])
