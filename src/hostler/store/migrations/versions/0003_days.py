"""What requests that are no longer kept one by one add up to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

COUNTS = (
    "requests", "failed", "cancelled", "tokens_in", "tokens_cached", "tokens_out", "first_bytes", "prompt_tokens",
    "generated_tokens",
)  # fmt: skip
TIMES = ("at", "last_at", "wait_ms", "first_byte_ms", "prompt_ms", "generated_ms")


def upgrade() -> None:
    op.create_table(
        "days",
        *(sa.Column(name, sa.String, primary_key=True) for name in ("day", "principal", "profile", "api")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Float, nullable=False) for name in TIMES),
    )


def downgrade() -> None:
    op.drop_table("days")
