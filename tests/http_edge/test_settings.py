"""Configuration: read once, whole, every mistake together, no secret shown."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import fields

from actors.platform.policy import StaticPolicy, TenantPolicy
from adapters.contract import Secret
from adapters.oauth import OAuthClient
from http_edge.settings import Settings, SettingsError, describe, load

LEAST = {
    "IA_PM3_URL": "http://pm3.internal:8101/",
    "IA_KMS_URL": "http://kms.internal",
    "IA_IAM_URL": "http://iam.internal",
    "IA_ERIS_URL": "http://eris.internal",
    "IA_PUBLIC_URL": "https://hooks.example.com",
    "IA_IAM_SECRET": "s3cret-of-iam-with-32-bytes-or-more",
    "IA_PM3_TOKEN": "s3cret-of-pm3",
    "IA_ERIS_TOKEN": "s3cret-of-eris",
}
OPTIONAL = {
    "IA_BUDGET_URL": "http://budget.internal",
    "IA_BUDGET_JWT_SECRET": "s3cret-of-m35-with-32-bytes-or-more",
    "IA_ALERTING_URL": "http://alerting.internal",
    "IA_ALERTING_JWT_SECRET": "s3cret-of-epc4-with-32-bytes-or-more",
    "IA_HEALTH_URL": "http://health.internal",
    "IA_HEALTH_TOKEN": "s3cret-of-epc5",
}


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        load(environ)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


def test_the_least_that_is_needed_is_enough() -> None:
    settings = load(LEAST)

    assert settings.pm3_url == "http://pm3.internal:8101"
    assert settings.iam_secret == Secret(value=b"s3cret-of-iam-with-32-bytes-or-more")
    assert settings.bind == "127.0.0.1:8080"
    assert settings.drain == timedelta(seconds=15)
    assert settings.development is False


def test_every_mistake_is_reported_together() -> None:
    """One start tells it all: missing, wrong and unknown."""
    environ = {
        **LEAST,
        "IA_BIND": "everywhere",
        "IA_DRAIN": "soon",
        "IA_WEBHOOK_BURST": "0",
        "IA_ENVIRONMENT": "moon",
        "IA_DEVELOPMENT": "maybe",
        "IA_COLOUR": "red",
    }
    del environ["IA_KMS_URL"]

    found = problems(environ)

    assert len(found) == 7
    for name in (
        "IA_KMS_URL is missing",
        "IA_BIND must",
        "IA_DRAIN must",
        "IA_WEBHOOK_BURST must",
        "IA_ENVIRONMENT must be one of dev, stage, prod",
        "IA_DEVELOPMENT must",
        "IA_COLOUR is no setting",
    ):
        assert any(problem.startswith(name) for problem in found), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IA_PM3_URL", ""),
        ("IA_PM3_URL", "pm3.internal"),
        ("IA_PM3_URL", "ftp://pm3.internal"),
        ("IA_PM3_URL", "http://"),
        ("IA_PM3_URL", "http://[::1"),
        ("IA_PM3_URL", "http://pm3.internal:http"),
        ("IA_PM3_URL", "http://pm3.internal:0"),
        ("IA_BIND", "127.0.0.1"),
        ("IA_BIND", ":8080"),
        ("IA_BIND", "127.0.0.1:65536"),
        ("IA_BIND", "127.0.0.1:eighty"),
        ("IA_DRAIN", "0"),
        ("IA_DRAIN", "-1"),
        ("IA_DRAIN", "nan"),
        ("IA_DRAIN", "inf"),
        ("IA_DRAIN", "1e9"),
        ("IA_DRAIN", ""),
        ("IA_WEBHOOK_RATE_PER_S", "0"),
        ("IA_WEBHOOK_RATE_PER_S", "-1"),
        ("IA_WEBHOOK_RATE_PER_S", "1.5"),
        ("IA_ACCEPT_WAITING", "\u0661"),
        ("IA_PM3_BATCH", "0"),
        ("IA_PM3_BATCH", "101"),
        ("IA_METRICS_OPEN", "perhaps"),
        ("IA_IAM_SECRET", ""),
        ("IA_IAM_SECRET", "x" * 31),
        ("IA_ERIS_JWT_SECRET", "x" * 31),
        ("IA_PM3_TOKENS", "acme"),
        ("IA_PM3_TOKENS", "[]"),
        ("IA_PM3_TOKENS", '{"acme": 1}'),
        ("IA_PM3_TOKENS", '{"acme": ""}'),
        ("IA_BUDGET_URL", "m35"),
        ("IA_BUDGET_JWT_SECRET", "x" * 31),
        ("IA_BUDGET_COSTS", "0.1"),
        ("IA_BUDGET_COSTS", '{"github": 0.1}'),
        ("IA_BUDGET_COSTS", '{"github": "much"}'),
        ("IA_BUDGET_COSTS", '{"github": "-0.1"}'),
        ("IA_BUDGET_COSTS", '{"github": "NaN"}'),
        ("IA_OAUTH_CLIENTS", "github"),
        ("IA_OAUTH_CLIENTS", '{"github": ":secret"}'),
        ("IA_OAUTH_RETURN_ORIGINS", "app.example.com"),
        ("IA_OAUTH_RETURN_ORIGINS", "https://app.example.com/path"),
        ("IA_ALERTING_JWT_SECRET", "x" * 31),
        ("IA_HEALTH_TENANT", ""),
        ("IA_POLICY_FILE", ""),
        ("IA_POLICY_FILE", "/there/is/none.toml"),
        ("IA_LOG_LEVEL", "loud"),
        ("IA_KMS_PLANE", "astral"),
        ("IA_DATABASE_URL", "sqlite:"),
        ("IA_DATABASE_URL", "sqlite:///"),
        ("IA_DATABASE_URL", "sqlite:///x.db?mode=ro"),
        ("IA_DATABASE_URL", "mysql://root@localhost/x"),
        ("IA_DATABASE_URL", "postgresql://"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: str) -> None:
    (problem,) = problems({**LEAST, name: value})

    assert problem.startswith(name)


@pytest.mark.parametrize(
    ("value", "means"),
    [("1", True), ("true", True), ("Yes", True), ("0", False), ("FALSE", False), ("no", False)],
)
def test_a_flag_has_its_words(value: str, means: bool) -> None:
    assert load({**LEAST, "IA_METRICS_OPEN": value}).metrics_open is means


@pytest.mark.parametrize(
    ("without", "names"),
    [
        ("IA_IAM_SECRET", "IA_IAM_JWKS_URL"),
        ("IA_PM3_TOKEN", "IA_PM3_TOKENS"),
        ("IA_ERIS_TOKEN", "IA_ERIS_JWT_SECRET"),
    ],
)
def test_one_of_two_credentials_is_needed(without: str, names: str) -> None:
    environ = {name: value for name, value in LEAST.items() if name != without}

    (problem,) = problems(environ)

    assert without in problem
    assert names in problem


def test_the_other_one_of_two_credentials_will_do() -> None:
    environ = {
        name: value for name, value in LEAST.items() if not name.endswith(("TOKEN", "SECRET"))
    }
    others = {
        "IA_IAM_JWKS_URL": "https://iam.internal/keys",
        "IA_PM3_TOKENS": '{"acme": "for-acme"}',
        "IA_ERIS_JWT_SECRET": "for-eris" * 4,
    }

    settings = load(environ | others)

    assert settings.pm3_tokens == {"acme": Secret(value=b"for-acme")}
    assert settings.iam_secret is None


def test_oauth_clients_and_origins() -> None:
    settings = load(
        LEAST
        | {
            "IA_OAUTH_CLIENTS": '{"github": "Iv1.abc:s3:cr3t", "linear": "public"}',
            "IA_OAUTH_RETURN_ORIGINS": "https://app.example.com, https://admin.example.com/",
        }
    )

    assert settings.oauth_clients == {
        "github": OAuthClient(client_id="Iv1.abc", client_secret=Secret(value=b"s3:cr3t")),
        "linear": OAuthClient(client_id="public"),
    }
    assert settings.oauth_return_origins == (
        "https://app.example.com",
        "https://admin.example.com",
    )
    assert "cr3t" not in repr(settings)


@pytest.mark.parametrize(
    ("credential", "url"),
    [
        ("IA_BUDGET_JWT_SECRET", "IA_BUDGET_URL"),
        ("IA_ALERTING_JWT_SECRET", "IA_ALERTING_URL"),
        ("IA_HEALTH_TOKEN", "IA_HEALTH_URL"),
    ],
)
def test_a_neighbour_that_may_be_left_out_needs_its_credential_when_it_is_not(
    credential: str, url: str
) -> None:
    environ = LEAST | OPTIONAL
    del environ[credential]

    assert problems(environ) == (f"{credential} is needed with {url}",)


def test_neighbours_may_be_left_out_or_named_as_zeroui_does() -> None:
    without = load(LEAST)
    theirs = {
        "BUDGET_SERVICE_URL": "http://b",
        "ALERTING_SERVICE_URL": "http://a",
        "HEALTH_SERVICE_URL": "http://h",
    }
    secrets = {name: value for name, value in OPTIONAL.items() if not name.endswith("URL")}

    named = load(LEAST | secrets | theirs)

    assert (without.budget_url, without.alerting_url, without.health_url) == (None, None, None)
    assert (named.budget_url, named.alerting_url, named.health_url) == (
        "http://b",
        "http://a",
        "http://h",
    )


def test_a_call_s_cost_is_an_exact_amount() -> None:
    assert load(LEAST).budget_costs == {}
    costs = load({**LEAST, "IA_BUDGET_COSTS": '{"github": "0.10"}'}).budget_costs
    assert costs == {"github": Decimal("0.1")}


def test_the_policy_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[tenants.acme]\nproviders = ['github']\n")

    settings = load({**LEAST, "IA_POLICY_FILE": str(file)})

    acme = TenantPolicy(providers=("github",))
    assert settings.policy_file == StaticPolicy(tenants={"acme": acme})
    assert load(LEAST).policy_file is None


def test_every_mistake_of_the_policy_is_among_those_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[default]\ncolour = 'red'\nbudget_open = 1\n")

    found = problems({**LEAST, "IA_POLICY_FILE": str(file), "IA_DRAIN": "soon"})

    assert found[-1].startswith("IA_DRAIN must")
    assert found[:-1] == (
        "IA_POLICY_FILE default.colour is no rule",
        "IA_POLICY_FILE default.budget_open must be true or false",
    )


def test_a_policy_that_is_no_toml_is_told(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[default")

    (problem,) = problems({**LEAST, "IA_POLICY_FILE": str(file)})

    assert problem.startswith("IA_POLICY_FILE Expected")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"IA_PUBLIC_URL": "http://hooks.example.com"}, "IA_PUBLIC_URL must be https"),
        ({"IA_TLS_CERTIFICATE": "cert.pem"}, "go together"),
        ({"IA_TLS_KEY": "key.pem"}, "go together"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, str], said: str) -> None:
    (problem,) = problems({**LEAST, **changes})

    assert said in problem


def test_in_development_the_public_url_may_be_http() -> None:
    environ = {**LEAST, "IA_PUBLIC_URL": "http://127.0.0.1:8080", "IA_DEVELOPMENT": "true"}

    assert load(environ).public_url == "http://127.0.0.1:8080"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """TOML has its own types; a table is a table."""
    file = tmp_path / "ia.toml"
    file.write_text(
        """
        pm3_url = "http://from-the-file"
        drain = 2.5
        webhook_burst = 7
        metrics_open = true
        bind = "0.0.0.0:1"
        [pm3_tokens]
        acme = "for-acme"
        """
    )
    environ = {name: value for name, value in LEAST.items() if name != "IA_PM3_URL"}

    settings = load({**environ, "IA_CONFIG": str(file), "IA_BIND": "0.0.0.0:2"})

    assert settings.pm3_url == "http://from-the-file"
    assert settings.drain == timedelta(seconds=2.5)
    assert settings.webhook_burst == 7
    assert settings.metrics_open is True
    assert settings.bind == "0.0.0.0:2"
    assert settings.pm3_tokens["acme"].value == b"for-acme"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 'red'", "colour (in IA_CONFIG) is no setting"),
        ("drain = true", "IA_DRAIN"),
        ("webhook_burst = true", "IA_WEBHOOK_BURST"),
        ("bind = 8080", "IA_BIND"),
        ("log_level = []", "IA_LOG_LEVEL"),
        ("pm3_tokens = 'x'", "IA_PM3_TOKENS"),
        ("drain = ", "IA_CONFIG"),
    ],
)
def test_a_wrong_file_is_told_like_a_wrong_environment(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "ia.toml"
    file.write_text(text)

    (problem,) = problems({**LEAST, "IA_CONFIG": str(file)})

    assert problem.startswith(said)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    (problem,) = problems({**LEAST, "IA_CONFIG": str(tmp_path / "none.toml")})

    assert "No such file" in problem


@pytest.mark.parametrize(
    "name",
    ["IA_IAM_SECRET", "IA_PM3_TOKEN", "IA_ERIS_TOKEN", "IA_BUDGET_JWT_SECRET", "IA_HEALTH_TOKEN"],
)
def test_a_secret_may_come_from_a_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "secret"
    file.write_text("from-a-file, and long enough to sign with\n")
    environ = {key: value for key, value in LEAST.items() if key != name}

    settings = load({**environ, f"{name}_FILE": str(file)})

    assert (
        getattr(settings, name.removeprefix("IA_").lower()).value
        == b"from-a-file, and long enough to sign with"
    )


def test_the_database_url_may_come_from_a_file_as_it_may_hold_a_password(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://ia:s3cret@db/ia\n")

    settings = load({**LEAST, "IA_DATABASE_URL_FILE": str(file)})

    assert settings.database_url == "postgresql://ia:s3cret@db/ia"


def test_what_is_no_secret_has_no_file_and_a_missing_file_is_told(tmp_path: Path) -> None:
    environ = {name: value for name, value in LEAST.items() if name != "IA_IAM_SECRET"}
    environ |= {"IA_BIND_FILE": "x", "IA_IAM_SECRET_FILE": str(tmp_path / "none")}

    found = problems(environ)

    assert found[0].startswith("IA_IAM_SECRET_FILE can not be read: No such file")
    assert "IA_BIND_FILE is no setting" in found


def test_a_name_that_zeroui_has_already_is_read_when_ours_is_not_set() -> None:
    environ = {name: value for name, value in LEAST.items() if name != "IA_PM3_URL"}

    theirs = load({**environ, "PM3_SERVICE_URL": "http://theirs"})
    ours = load({**LEAST, "PM3_SERVICE_URL": "http://theirs"})

    assert theirs.pm3_url == "http://theirs"
    assert ours.pm3_url == "http://pm3.internal:8101"


def test_names_of_the_test_suite_are_left_alone() -> None:
    assert load({**LEAST, "IA_TEST_DATABASE_URL": "x", "PATH": "/bin"}).bind


def test_p8_no_secret_is_in_the_repr_or_in_a_problem() -> None:
    """P8: the database's password too."""
    secrets = {
        **LEAST,
        "IA_DATABASE_URL": "postgresql://ia:s3cret-of-db@db/ia",
        "IA_PM3_TOKENS": '{"acme": "s3cret-of-acme"}',
        "IA_KMS_APPROVAL_TOKEN": "s3cret-of-kms",
        **OPTIONAL,
    }
    wrong = {"IA_DATABASE_URL": "postgres//ia:s3cret-of-db@db/ia", "IA_PM3_TOKENS": "s3cret{"}

    assert "s3cret" not in repr(load(secrets))
    assert "s3cret" not in "\n".join(problems({**secrets, **wrong}))


def test_every_setting_is_described() -> None:
    told = {name: (default, meaning) for name, default, meaning in describe()}

    assert set(told) == {f"IA_{attribute.name.upper()}" for attribute in fields(Settings)}
    assert all(meaning for _, meaning in told.values())
    assert told["IA_PM3_URL"][0] == "required"
    assert told["IA_DRAIN"][0] == "15"
    assert told["IA_PM3_TOKENS"][0] == ""
    assert told["IA_WEBHOOK_BURST"][0] == "2000"


def test_every_default_would_pass_its_own_check() -> None:
    for attribute in fields(Settings):
        default = attribute.default
        if isinstance(default, str | bool | int):
            assert attribute.metadata["read"](default) == default
