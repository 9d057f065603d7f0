"""The tokens we show."""

from __future__ import annotations

import jwt
import pytest

from actors.platform.errors import PlatformMisconfiguredError
from actors.platform.tokens import MintedClaims, MintedTokens, TenantTokens, bearer
from adapters.contract import Secret
from tests.actors.platform.world import SHARED_SECRET, HandClock, counting_ids

CLAIMS = MintedClaims(service="ia", issuer="zeroui-iam", audience="zeroui", key_id="ia-1")


def test_a_tenant_s_own_token_comes_before_the_template() -> None:
    own = {"acme": Secret(value=b"mine")}
    tokens = TenantTokens(template=Secret(value=b"valid_token_{tenant}"), own=own)

    assert tokens.token("acme").value == b"mine"
    assert tokens.token("globex").value == b"valid_token_globex"
    assert "mine" not in repr(tokens)
    assert "valid_token" not in repr(tokens)


def test_a_tenant_without_a_token_is_a_mistake_of_the_settings() -> None:
    with pytest.raises(PlatformMisconfiguredError, match="globex"):
        TenantTokens(own={"acme": Secret(value=b"mine")}).token("globex")


@pytest.mark.parametrize("tenant", ["ac\r\nx-evil: 1", "größe"])
def test_a_token_that_no_header_can_carry_is_refused(tenant: str) -> None:
    tokens = TenantTokens(template=Secret(value=b"valid_token_{tenant}"))

    with pytest.raises(PlatformMisconfiguredError, match="printable"):
        bearer(tokens, tenant)


def test_a_minted_token_says_what_iam_and_eris_look_for() -> None:
    clock = HandClock()
    tokens = MintedTokens(SHARED_SECRET, CLAIMS, clock=clock, ids=counting_ids())

    headers = bearer(tokens, "acme")
    minted = headers["authorization"].removeprefix("Bearer ")
    payload = jwt.decode(minted, options={"verify_signature": False})

    assert payload["sub"] == "acme:ia"
    assert payload["scope"] == ["admin"]
    assert payload["kid"] == jwt.get_unverified_header(minted)["kid"] == "ia-1"
    assert payload["exp"] - payload["iat"] == 300
    assert payload["iat"] == int(clock.now().timestamp())
    assert tokens.token("acme").value != minted.encode()  # each has an id of its own


def test_a_short_signing_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        MintedTokens(Secret(value=b"short"), CLAIMS, clock=HandClock(), ids=counting_ids())
