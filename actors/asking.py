"""Asking a connection's actor for a job, from the edge or from upkeep, and waiting for its outcome with a deadline."""

from __future__ import annotations

from actors.errors import BusyError
from actors.jobs import Job, Task
from actors.ports import Ports
from actors.replies import Reply
from adapters.contract import Done, Outcome
from adapters.credentials import Credentials
from persistence.records import ConnectionRecord


async def ask(
    ports: Ports,
    connection: ConnectionRecord,
    task: Task,
    *,
    credentials: Credentials | None = None,
    renewed: bool = False,
) -> Outcome:
    """The outcome of a job of the connection's actor.

    Raises:
        BusyError: none in time; it may still be done.
        PlatformError: a secret can not be read now.
        FencedError, StoreUnavailableError: its lease is lost, or can not be had now.
    """
    reply: Reply[Outcome] = Reply()
    job = Job(task=task, reply=reply, credentials=credentials, renewed=renewed)
    ports.wake.job(connection.tenant_id, connection.connection_id, job)
    return await reply.wait(ports.pace.answer_within)


def insist(
    ports: Ports, connection: ConnectionRecord, task: Task, *, renewed: bool = False
) -> None:
    """Have a job done without waiting; the actor tries it again for a while where it must."""
    job = Job(task=task, reply=Reply(), renewed=renewed, insist=True)
    try:
        ports.wake.job(connection.tenant_id, connection.connection_id, job)
    except BusyError as error:
        ports.log.warning(
            "job.not_taken",
            tenant=connection.tenant_id,
            connection=str(connection.connection_id),
            job=task.value,
            reason=str(error),
        )


def reason_of(outcome: Outcome) -> str:
    """Why an outcome is not what was hoped for."""
    return "done" if isinstance(outcome, Done) else outcome.reason
