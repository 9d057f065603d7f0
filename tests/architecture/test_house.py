"""The house: what is where, who may import whom, and that the rules do catch those who break them."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("runtime", "actors", "adapters", "http_edge", "persistence")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
TOP_LEVEL = {
    *FOLDERS,
    "tests",
    "benchmarks",
    "docs",
    "pyproject.toml",
    "Procfile",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "Makefile",
    "requirements.lock",
    "requirements-dev.lock",
}
# What an adapter may know: values and how to read them. No clock, no chance, no files, no network.
ADAPTERS_MAY_IMPORT = {
    "__future__",
    "abc",
    "attrs",
    "base64",
    "binascii",
    "collections",
    "cryptography",  # reads an app's key, which jwt signs with
    "datetime",
    "email",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "html",
    "itertools",
    "jwt",  # signs and reads values; its network part (jwt.jwks_client) is not used here
    "math",
    "msgspec",
    "orjson",
    "re",
    "string",
    "types",
    "typing",
    "urllib",
    "uuid",
    "adapters",
}
REGISTRY_TOO = {"importlib", "pkgutil"}
NOT_PURE = {
    "jwt.jwks_client",
    "urllib.request",
    "uuid.uuid4",
    "uuid.uuid1",
    "datetime.now",
    "datetime.utcnow",
}


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.splitlines()


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def impurities(source: str, path: Path) -> list[str]:
    """What an adapter's file uses that it may not: imports beyond the list, other providers, clocks."""
    tree = ast.parse(source)
    allowed = ADAPTERS_MAY_IMPORT | (REGISTRY_TOO if path.name == "registry.py" else set())
    found = [name for name in imported(tree) if name.partition(".")[0] not in allowed]
    found += [name for name in imported(tree) if any(name.startswith(bad) for bad in NOT_PURE)]
    found += [name for name in imported(tree) if _is_of_another_provider(name, path)]
    found += [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in NOT_PURE
    ]
    found += [
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"open", "print", "input", "eval", "exec", "__import__"}
    ]
    return found


def _is_of_another_provider(name: str, path: Path) -> bool:
    parts = name.split(".")
    inside = path.relative_to(ROOT / "adapters").parts
    own = inside[0] if len(inside) > 1 else None
    is_provider = len(parts) > 1 and (ROOT / "adapters" / parts[1]).is_dir()
    return parts[0] == "adapters" and is_provider and parts[1] != own


def test_the_top_level_is_the_cards() -> None:
    names = {name.partition("/")[0] for name in tracked()}

    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.is_relative_to(ROOT / "adapters")], ids=str
)
def test_adapters_are_pure(path: Path) -> None:
    assert impurities(path.read_text(), path) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import httpx",
        "import time",
        "import os",
        "from random import random",
        "from urllib.request import urlopen",
        "from uuid import uuid4",
        "import uuid\nx = uuid.uuid4()",
        "from datetime import datetime\nx = datetime.now()",
        "x = open('secrets')",
        "from persistence.records import Lease",
        "from adapters.github.events import x",
    ],
)
def test_an_impure_adapter_is_caught(planted: str) -> None:
    assert impurities(planted, ROOT / "adapters" / "gitlab" / "__init__.py") != []


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), "COLUMNS": "200"},
    )


@pytest.mark.parametrize(
    ("path", "planted", "broken"),
    [
        ("runtime/planted.py", "import adapters.contract\n", "Imports point downwards"),
        ("persistence/planted.py", "import actors.codec\n", "Imports point downwards"),
        ("actors/planted.py", "import http_edge.app\n", "Imports point downwards"),
        ("adapters/planted.py", "import httpx\n", "Adapters do no I/O"),
        ("actors/planted.py", "import sqlite3\n", "Only persistence speaks SQL"),
    ],
)
def test_an_import_against_the_layers_is_caught(
    tmp_path: Path, path: str, planted: str, broken: str
) -> None:
    for folder in FOLDERS:
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / path).write_text(planted)

    result = lint_imports(tmp_path)

    assert result.returncode != 0
    assert any(broken in line and "BROKEN" in line for line in result.stdout.splitlines())


def test_every_package_has_a_layer() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}

    assert packages == set(settings["tool"]["importlinter"]["root_packages"])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_does_one_thing(path: Path) -> None:
    source = path.read_text()

    assert len(source.splitlines()) <= 400
    assert not {"utils", "helpers", "manager", "handler", "common"} & set(path.stem.split("_"))


def test_only_the_supervision_catches_everything() -> None:
    catching = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)  # of except and of except*
        and (node.type is None or {"Exception", "BaseException"} & names_in(node.type))
    }

    # The supervisor handles it; the front of the edge carries it to the one place that tells errors.
    assert catching == {"runtime/supervisor.py", "http_edge/front.py"}


def names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_the_lock_files_pin_everything_with_hashes_and_name_no_host() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        lines = (ROOT / name).read_text().splitlines()
        pins = [line for line in lines if line and not line.startswith((" ", "#"))]
        assert pins
        assert all("==" in pin for pin in pins)
        assert sum("--hash=sha256:" in line for line in lines) >= len(pins)
        assert not [line for line in lines if "://" in line or "index" in line.partition("#")[0]]


def test_production_is_locked_as_it_was_tested() -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / name).read_text().splitlines()
        return {line.split()[0] for line in lines if line and not line.startswith((" ", "#"))}

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
