"""A resolver that says what it is told to, and changes its mind when told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import trio


class Names:
    """For each host its answers in turn, the last one for ever; an error is raised. ``wait`` is in seconds."""

    def __init__(
        self, answers: Mapping[str, Sequence[tuple[str, ...] | OSError]], *, wait: float = 0
    ) -> None:
        self._answers = {host: list(said) for host, said in answers.items()}
        self._wait = wait
        self.asked: list[str] = []

    async def look_up(self, host: str) -> tuple[str, ...]:
        """See ``actors.resolution.LookUp``."""
        self.asked.append(host)
        await trio.sleep(self._wait)
        said = self._answers[host]
        answer = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(answer, OSError):
            raise answer
        return answer
