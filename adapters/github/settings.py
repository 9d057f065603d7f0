"""What a GitHub connection is told besides its credentials: where its webhooks are to be registered, what is polled."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
import orjson
from attrs import frozen

from adapters.errors import SettingsError
from adapters.polling import PollEvery
from adapters.schema import ShapeError, read

_MOST_REPOSITORIES = 100

# Also no "." or "..", which would lead elsewhere, and no line end, before which ``$`` matches too.
_END = r"$(?!\n)"
_OWNER = "[0-9A-Za-z][0-9A-Za-z_-]{0,99}"
_REPOSITORY = rf"^{_OWNER}/(?!\.{{1,2}}$)[0-9A-Za-z._-]{{1,100}}{_END}"

Organization: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=f"^{_OWNER}{_END}", description="The login of an organization.")
]
Repository: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=_REPOSITORY, description="A repository as owner/name.")
]
Repositories: TypeAlias = Annotated[
    tuple[Repository, ...],
    msgspec.Meta(
        max_length=_MOST_REPOSITORIES,
        description="Repositories that get a webhook each; none of the organization's, whose own covers them.",
    ),
]


@frozen(kw_only=True)
class GitHubSettings:
    """Where webhooks are registered; with nothing named, they are made by hand. The repositories can be polled."""

    repositories: Repositories = ()
    organization: Organization | None = None
    poll_every: PollEvery | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what would bring each event twice."""
        names = [name.lower() for name in self.repositories]
        if len(set(names)) != len(names):
            raise ValueError("a repository is named twice")
        owner = f"{self.organization}/".lower()
        if any(name.startswith(owner) for name in names):
            raise ValueError("a repository belongs to the organization, whose webhook covers it")


@frozen(kw_only=True)
class Target:
    """A repository or an organization that has webhooks.

    To change them needs ``permission``; of a classic token, ``scope``.
    """

    name: str
    path: str
    permission: str
    scope: str


def read_settings(settings: bytes) -> GitHubSettings:
    """The settings of a connection, from JSON.

    Raises:
        SettingsError: with the field that is wrong.
    """
    try:
        return read(orjson.loads(settings), GitHubSettings)
    except orjson.JSONDecodeError:
        raise SettingsError("is not valid JSON", field="settings") from None
    except ShapeError as error:
        raise SettingsError(error.message, field=f"settings.{error.path}".rstrip(".")) from None


def targets(settings: GitHubSettings) -> tuple[Target, ...]:
    """What is to have a webhook: the organization, then the repositories."""
    organization = () if settings.organization is None else (settings.organization,)
    return (
        *(_organization(name) for name in organization),
        *(_repository(name) for name in settings.repositories),
    )


def _organization(name: str) -> Target:
    return Target(
        name=name,
        path=f"/orgs/{name}",
        permission="organization_hooks:write",
        scope="admin:org_hook",
    )


def _repository(name: str) -> Target:
    return Target(
        name=name,
        path=f"/repos/{name}",
        permission="repository_hooks:write",
        scope="admin:repo_hook",
    )
