"""The tables, as the newest migration leaves them. Imported only where the database is used."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table

metadata = MetaData()

requests = Table(
    "requests",
    metadata,
    Column("row", Integer, primary_key=True),
    Column("id", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("principal", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("api", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("tokens_in", Integer),
    Column("tokens_cached", Integer),
    Column("tokens_out", Integer),
    Column("queue_ms", Float, nullable=False),
    Column("load_ms", Float, nullable=False),
    Column("first_byte_ms", Float),
    Column("prompt_ms", Float),
    Column("generated_ms", Float),
    Column("total_ms", Float, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Index("requests_by_time", "at"),
    Index("requests_by_profile", "profile", "at"),
)
"""One row per finished request; the columns are the fields of ``wire.management.RequestRecord``."""

days = Table(
    "days",
    metadata,
    Column("day", String, primary_key=True),
    Column("principal", String, primary_key=True),
    Column("profile", String, primary_key=True),
    Column("api", String, primary_key=True),
    Column("at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_cached", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("wait_ms", Float, nullable=False),
    Column("first_byte_ms", Float, nullable=False),
    Column("first_bytes", Integer, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("prompt_ms", Float, nullable=False),
    Column("generated_tokens", Integer, nullable=False),
    Column("generated_ms", Float, nullable=False),
)
"""What requests that are no longer kept one by one add up to; the columns from ``requests`` on are sums."""
