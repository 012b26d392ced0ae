"""What Alembic runs around the migrations: one SQLite file, one transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import URL, create_engine, pool

from hostler.store.schema import metadata


def migrate() -> None:
    """Run the wanted migrations on the database that the configuration names."""
    path = context.config.attributes["database"]
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=pool.NullPool)
    with engine.begin() as connection:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


migrate()
