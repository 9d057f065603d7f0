"""Which store a URL names."""

from __future__ import annotations

from pathlib import Path

import pytest

from persistence.errors import StoreUnavailableError
from persistence.opening import is_postgres, open_store, sqlite_path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/ia.db", "var/ia.db"),
        ("sqlite:////var/lib/ia.db", "/var/lib/ia.db"),
        ("sqlite:////with%20space.db", "/with space.db"),
    ],
)
def test_sqlite_urls_name_relative_and_absolute_files(url: str, path: str):
    assert not is_postgres(url)
    assert sqlite_path(url) == Path(path)


@pytest.mark.parametrize("url", ["postgresql://h/d", "postgres://u:p@h:5432/d?sslmode=require"])
def test_postgres_urls(url: str):
    assert is_postgres(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "mysql://u:hunter2@h/d",
        "postgresql://",
        "postgresql:u:hunter2@h",
        "postgresql://u:hunter2/@h:5432/d",
        "sqlite://",
        "sqlite:///",
        "sqlite://hunter2/x",
        "sqlite:///x.db?key=hunter2",
    ],
)
async def test_a_bad_url_is_refused_without_repeating_it(url: str):
    """P8."""
    with pytest.raises(ValueError, match="URL is") as caught:
        async with open_store(url):
            pass

    assert "hunter2" not in str(caught.value)


async def test_an_unreachable_database_is_unavailable_when_it_is_asked():
    """P8."""
    async with open_store("postgresql://u:hunter2@127.0.0.1:1/d") as store:
        with pytest.raises(StoreUnavailableError) as caught:
            await store.ping()

    assert "hunter2" not in str(caught.value)


async def test_a_missing_file_is_not_created(tmp_path: Path):
    path = tmp_path / "missing.db"

    async with open_store(f"sqlite:///{path}") as store:
        with pytest.raises(StoreUnavailableError):
            await store.ping()

    assert not path.exists()
