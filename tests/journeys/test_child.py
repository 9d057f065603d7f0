"""A node that can not start says why."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from attrs import evolve

from http_edge import child
from http_edge.child import NodeDiedError
from http_edge.stage import Stage

pytestmark = pytest.mark.thorough


async def test_a_node_that_dies_before_it_is_ready_is_told_with_its_log(
    stage: Stage, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    program = child.among(
        stage.around,
        url=stage.node_url,
        database_url=f"sqlite:///{tmp_path}/never-used.sqlite3",
        log=tmp_path / "node.log",
        inherited={"IA_BIND": "inherited-and-of-no-effect"},
    )
    broken = evolve(program, environ={**program.environ, "IA_BIND": "nowhere"})

    with pytest.raises(NodeDiedError, match="IA_BIND must be host:port"):
        await child.start(broken, client)
