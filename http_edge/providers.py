"""The registry as callers see it (FR-1): which providers there are for them, and what each can do."""

from __future__ import annotations

from actors.platform.identity import Caller
from adapters import registry
from adapters.contract import Response
from adapters.errors import UnknownProviderError
from http_edge.answers import json_response
from http_edge.edge import Edge
from http_edge.errors import NotFoundError
from http_edge.queries import ProviderQuery
from http_edge.route import Asked
from http_edge.views import ProviderList, ProviderView, provider_details, provider_fields


async def listing(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """The providers that the tenant's policy allows, of a category, with all of the capabilities that are named."""
    query: ProviderQuery = asked.query
    allowed = edge.ports.policy.of(caller.tenant_id)
    adapters = (
        edge.ports.registry.get(one.provider_id) for one in edge.ports.registry.manifests()
    )
    return json_response(
        ProviderList(
            providers=tuple(
                ProviderView(**provider_fields(adapter))
                for adapter in adapters
                if allowed.allows(adapter.manifest.provider_id)
                and query.category in {None, adapter.manifest.category}
                and set(query.capability) <= set(registry.capabilities(adapter))
            )
        )
    )


async def show(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """One provider, if there is one for this tenant.

    Raises:
        NotFoundError: there is none, or the policy does not allow it.
    """
    provider_id = asked.path["provider_id"]
    if not edge.ports.policy.of(caller.tenant_id).allows(provider_id):
        raise NotFoundError("provider")
    try:
        return json_response(provider_details(edge.ports.registry.get(provider_id)))
    except UnknownProviderError as error:
        raise NotFoundError("provider") from error
