"""A plain webhook receiver to measure beside: FastAPI, SQLAlchemy's async engine, asyncpg; one commit per webhook.

It does what the task asks of any receiver: check the HMAC over the raw body, parse the JSON, recognise a delivery
that came before, insert one row, commit, answer. Tuned where that is usual: one pool for the process, no access
log, the engine's statement cache, one statement that inserts and finds the duplicate.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request, Response
from sqlalchemy import DateTime, LargeBinary, String, make_url
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL_VARIABLE, SECRET_VARIABLE, PORT_VARIABLE = "PEER_DATABASE_URL", "PEER_SECRET", "PEER_PORT"
TABLE = "webhooks"
CONNECTIONS = 16


class Base(DeclarativeBase):
    """What SQLAlchemy collects tables in."""


class Webhook(Base):
    """One webhook; GitHub's delivery id is what makes it the same."""

    __tablename__ = TABLE
    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(String(100), unique=True)
    event: Mapped[str] = mapped_column(String(130))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def build_app(database_url: str, secret: bytes) -> FastAPI:
    """The application; it makes its table when it starts."""
    url = make_url(database_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, pool_size=CONNECTIONS, max_overflow=0)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.post("/webhooks/github", status_code=202)
    async def webhook(
        request: Request,
        response: Response,
        x_hub_signature_256: Annotated[str, Header()],
        x_github_event: Annotated[str, Header()],
        x_github_delivery: Annotated[str, Header()],
    ) -> dict[str, str]:
        body = await request.body()
        expected = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), x_hub_signature_256.encode()):
            raise HTTPException(401, "the signature does not fit")
        row = {
            "delivery_id": x_github_delivery,
            "event": f"{x_github_event}.{_action(body)}",
            "body": body,
            "received_at": datetime.now(UTC),
        }
        statement = insert(Webhook).values(row).on_conflict_do_nothing().returning(Webhook.id)
        async with sessions.begin() as session:
            fresh = await session.scalar(statement) is not None
        if not fresh:
            response.status_code = 200
        return {"status": "accepted" if fresh else "duplicate", "event_id": x_github_delivery}

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def _action(body: bytes) -> str:
    try:
        return str(json.loads(body)["action"])
    except (ValueError, KeyError, TypeError) as error:
        raise HTTPException(400, "no JSON object with an action") from error


def main() -> None:
    """Serve until SIGTERM."""
    app = build_app(os.environ[URL_VARIABLE], os.environ[SECRET_VARIABLE].encode())
    port = int(os.environ[PORT_VARIABLE])
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
