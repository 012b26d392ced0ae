"""The ledger's first table: one row per finished request."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "requests",
        sa.Column("row", sa.Integer, primary_key=True),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("principal", sa.String, nullable=False),
        sa.Column("profile", sa.String, nullable=False),
        sa.Column("api", sa.String, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("tokens_in", sa.Integer),
        sa.Column("tokens_cached", sa.Integer),
        sa.Column("tokens_out", sa.Integer),
        sa.Column("queue_ms", sa.Float, nullable=False),
        sa.Column("load_ms", sa.Float, nullable=False),
        sa.Column("first_byte_ms", sa.Float),
        sa.Column("total_ms", sa.Float, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False),
    )
    op.create_index("requests_by_time", "requests", ["at"])
    op.create_index("requests_by_profile", "requests", ["profile", "at"])


def downgrade() -> None:
    op.drop_table("requests")
