"""What each tenant may do: defaults, overrides, and every mistake of an operator told at once."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from typing import get_type_hints

import pytest
from attrs import fields

from actors.platform.policy import (
    _RULES,
    PolicyMistakesError,
    StaticPolicy,
    TenantPolicy,
    read_policy,
)


def policy(text: str) -> StaticPolicy:
    return read_policy(tomllib.loads(text))


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(PolicyMistakesError) as caught:
        policy(text)
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return caught.value.mistakes


def test_without_a_policy_every_tenant_has_the_defaults() -> None:
    assert policy("") == StaticPolicy()
    assert StaticPolicy().of("acme") == TenantPolicy()
    assert TenantPolicy().allows("anything")
    assert TenantPolicy().secret_grace == timedelta(hours=24)


def test_every_rule_can_be_stated() -> None:
    stated = policy(
        """
        [default]
        providers = ["github", "slack"]
        actions_at_once = 2
        requests_per_minute = 600
        budget_open = false
        poll_every = 90.5
        secret_grace = 3600
        """
    ).of("acme")

    assert stated == TenantPolicy(
        providers=("github", "slack"),
        actions_at_once=2,
        requests_per_minute=600,
        budget_open=False,
        poll_every=timedelta(seconds=90.5),
        secret_grace=timedelta(hours=1),
    )
    assert stated.allows("slack")
    assert not stated.allows("jira")


def test_a_tenant_s_own_rules_change_the_default_one_by_one_p6() -> None:
    read = policy(
        """
        [default]
        providers = []
        actions_at_once = 2
        [tenants.acme]
        providers = "all"
        [tenants."acme:eu"]
        actions_at_once = 9
        """
    )

    assert read.of("acme") == TenantPolicy(actions_at_once=2)
    assert read.of("acme:eu") == TenantPolicy(providers=(), actions_at_once=9)
    assert read.of("globex") == TenantPolicy(providers=(), actions_at_once=2)
    assert not read.of("globex").allows("github")


def test_every_mistake_is_told_at_once() -> None:
    found = mistakes(
        """
        colour = "red"
        [default]
        colour = "red"
        actions_at_once = 0
        [tenants]
        globex = 7
        [tenants.acme]
        budget_open = 1
        poll_every = -1
        """
    )

    assert found == (
        "colour is no table of a policy",
        "default.colour is no rule",
        "default.actions_at_once must be a whole number of at least 1",
        "tenants.globex must be a table",
        "tenants.acme.budget_open must be true or false",
        "tenants.acme.poll_every must be a number of seconds above 0",
    )


@pytest.mark.parametrize(
    "rule",
    [
        "providers = 'github'",
        "providers = [1]",
        "providers = ['']",
        "actions_at_once = true",
        "actions_at_once = 1.5",
        "actions_at_once = '4'",
        "requests_per_minute = -5",
        "budget_open = 'yes'",
        "poll_every = 0",
        "poll_every = nan",
        "poll_every = inf",
        "poll_every = '300'",
        "poll_every = true",
        "secret_grace = 1e9",
    ],
)
def test_a_wrong_value_is_named_by_its_rule(rule: str) -> None:
    [mistake] = mistakes(f"[default]\n{rule}")

    assert mistake.startswith(f"default.{rule.split(' ', maxsplit=1)[0]} must be")


@pytest.mark.parametrize("text", ["default = 1", "tenants = 1"])
def test_what_is_no_table_is_told(text: str) -> None:
    [mistake] = mistakes(text)

    assert mistake.endswith("must be a table")


def test_every_field_of_a_policy_has_a_rule_that_reads_it() -> None:
    names = {attribute.name for attribute in fields(TenantPolicy)}

    assert set(_RULES) == names == set(get_type_hints(TenantPolicy))
