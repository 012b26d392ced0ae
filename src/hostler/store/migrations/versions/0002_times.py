"""How long the engine read and generated for each request."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("requests", sa.Column("prompt_ms", sa.Float))
    op.add_column("requests", sa.Column("generated_ms", sa.Float))


def downgrade() -> None:
    with op.batch_alter_table("requests") as table:
        table.drop_column("prompt_ms")
        table.drop_column("generated_ms")
