"""Faults as another process plans them: JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, TypeAlias

from attrs import field, frozen
from msgspec import Meta

from adapters.contract import Response
from adapters.errors import PayloadError
from adapters.faults import Effect, Fault, Says, plain
from adapters.schema import ShapeError, read

_Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86_400)]
_Size: TypeAlias = Annotated[int, Meta(ge=0, le=64 * 1024 * 1024)]


@frozen(kw_only=True)
class FaultDocument:
    """A ``Fault`` with its answer as ``status``, ``headers`` and ``body``, and its times in seconds."""

    effect: Effect = Effect.NOW
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    headers: dict[str, str] = field(factory=dict)
    body: str | None = None
    dropped: bool = False
    delay_s: _Seconds = 0
    late_by_s: _Seconds = 0
    cut_at: _Size | None = None
    padded_to: _Size | None = None
    drip_s: _Seconds = 0
    wait_s: _Seconds | None = None
    says: Says = Says.SECONDS
    clock_off_s: Annotated[float, Meta(ge=-86_400, le=86_400)] = 0
    times: Annotated[int, Meta(ge=1)] = 1
    lasting: bool = False
    name: str = ""
    method: str = ""
    path: str = ""


def fault_from(document: Mapping[str, Any]) -> Fault:
    """Read a fault that another process plans.

    Raises:
        PayloadError: with the path of what is wrong.
    """
    try:
        read_as = read(document, FaultDocument)
        return _fault(read_as)
    except ShapeError as error:
        raise PayloadError(error.message, path=error.path) from error
    except ValueError as error:
        raise PayloadError(str(error)) from error


def _fault(planned: FaultDocument) -> Fault:
    return Fault(
        effect=planned.effect,
        response=_response(planned),
        dropped=planned.dropped,
        delay=timedelta(seconds=planned.delay_s),
        late_by=timedelta(seconds=planned.late_by_s),
        cut_at=planned.cut_at,
        padded_to=planned.padded_to,
        drip=timedelta(seconds=planned.drip_s),
        wait=None if planned.wait_s is None else timedelta(seconds=planned.wait_s),
        says=planned.says,
        clock_off=timedelta(seconds=planned.clock_off_s),
        times=planned.times,
        lasting=planned.lasting,
        name=planned.name,
        method=planned.method,
        path=planned.path,
    )


def _response(planned: FaultDocument) -> Response | None:
    if planned.status is None:
        return None
    headers = tuple((name.lower(), value) for name, value in planned.headers.items())
    if planned.body is None:
        return plain(planned.status, headers=headers)
    return Response(status=planned.status, headers=headers, body=planned.body.encode())
