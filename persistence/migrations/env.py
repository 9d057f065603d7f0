"""What Alembic runs: the migrations, on the connection (and in the transaction) that ``persistence.migrate`` opened."""

from __future__ import annotations

from alembic import context

from persistence.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=False,
)
context.run_migrations()
