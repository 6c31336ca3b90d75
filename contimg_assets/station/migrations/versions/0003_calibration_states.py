"""Calibration sets that are pending or fail, how a set was come by, and groups that wait."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

#: Parents before children: a foreign key points to one that is there.
_TABLES = ("calibration_set", "calibration_table", "group_calibration")


def upgrade() -> None:
    """Apply this revision.

    SQLite cannot change a constraint in place, so the tables are made anew with their rows.
    """
    rows = _take_away()
    _make(("pending", "active", "retired", "failed"), later=True)
    for row in rows["group_calibration"]:
        row["fallback"] = "same_day"
    for row in rows["calibration_set"]:
        row["reason"] = ""
    _give_back(rows)
    op.create_table(
        "calibration_wait",
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("deadline", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["observation_group.key"], name="fk_calibration_wait_key"),
        sa.PrimaryKeyConstraint("key", name="pk_calibration_wait"),
    )


def downgrade() -> None:
    """Undo this revision: sets that were not judged yet count as failed."""
    op.drop_table("calibration_wait")
    rows = _take_away()
    _make(("active", "retired", "failed"), later=False)
    for row in rows["calibration_set"]:
        row["status"] = "failed" if row["status"] == "pending" else row["status"]
        for name in ("reason", "centre_dec", "calibrator_apparent_jy"):
            row.pop(name)
    for row in rows["group_calibration"]:
        row.pop("fallback")
    _give_back(rows)


def _reflected() -> dict[str, sa.Table]:
    metadata = sa.MetaData()
    metadata.reflect(op.get_bind(), only=list(_TABLES), resolve_fks=False)
    return {name: metadata.tables[name] for name in _TABLES}


def _take_away() -> dict[str, list[dict[str, Any]]]:
    connection, tables = op.get_bind(), _reflected()
    rows = {
        name: [dict(row) for row in connection.execute(sa.select(tables[name])).mappings()]
        for name in _TABLES
    }
    for name in reversed(_TABLES):
        op.drop_table(name)
    return rows


def _give_back(rows: dict[str, list[dict[str, Any]]]) -> None:
    tables = _reflected()
    for name in _TABLES:
        if name == "calibration_set":
            # A successor may come after the set that names it.
            links = {row["id"]: row["replaced_by"] for row in rows[name] if row["replaced_by"]}
            op.bulk_insert(tables[name], [{**row, "replaced_by": None} for row in rows[name]])
            for key, successor in links.items():
                table = tables[name]
                op.execute(sa.update(table).where(table.c.id == key).values(replaced_by=successor))
        else:
            op.bulk_insert(tables[name], rows[name])
    if op.get_bind().dialect.name == "postgresql":
        # Rows came with their numbers; the next one must come after them.
        op.execute(
            "SELECT setval(pg_get_serial_sequence('group_calibration', 'id'), "
            "COALESCE((SELECT MAX(id) FROM group_calibration), 0) + 1, false)"
        )


def _make(states: tuple[str, ...], *, later: bool) -> None:
    listed = ", ".join(f"'{state}'" for state in states)
    columns: list[sa.schema.SchemaItem] = [
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("group_key", sa.String(length=19), nullable=False),
        *(
            sa.Column(name, sa.Float(), nullable=False)
            for name in ("mid_mjd", "valid_from_mjd", "valid_to_mjd")
        ),
        sa.Column("declination_deg", sa.Float(), nullable=False),
        sa.Column("centre_ra", sa.Float(), nullable=False),
        *([sa.Column("centre_dec", sa.Float(), nullable=True)] if later else []),
        sa.Column("antennas", sa.JSON(), nullable=False),
        sa.Column("refant", sa.String(), nullable=False),
        sa.Column("calibrator", sa.String(), nullable=False),
        *([sa.Column("calibrator_apparent_jy", sa.Float(), nullable=True)] if later else []),
        sa.Column("flux_model", sa.JSON(), nullable=False),
        sa.Column("flux_source", sa.String(), nullable=False),
        sa.Column("channel_low_hz", sa.Float(), nullable=False),
        sa.Column("channel_high_hz", sa.Float(), nullable=False),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("parameters", "software")),
        sa.Column("input_sha256", sa.String(), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        *([sa.Column("reason", sa.String(), nullable=False)] if later else []),
        sa.Column("replaced_by", sa.String(length=64), nullable=True),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(f"status IN ({listed})", name="ck_calibration_set_status"),
        sa.ForeignKeyConstraint(
            ["replaced_by"], ["calibration_set.id"], name="fk_calibration_set_replaced_by"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_calibration_set"),
    ]
    if not later:
        columns.append(
            sa.ForeignKeyConstraint(
                ["group_key"], ["observation_group.key"], name="fk_calibration_set_group_key"
            )
        )
    op.create_table("calibration_set", *columns)
    op.create_index("ix_calibration_set_mid_mjd", "calibration_set", ["mid_mjd"], unique=False)
    op.create_index(
        "uq_calibration_set_one_active_per_group",
        "calibration_set",
        ["group_key"],
        unique=True,
        sqlite_where=sa.text("status = 'active'"),
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "calibration_table",
        sa.Column("set_id", sa.String(length=64), nullable=False),
        sa.Column("order", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["set_id"], ["calibration_set.id"], name="fk_calibration_table_set_id"),
        sa.PrimaryKeyConstraint("set_id", "order", name="pk_calibration_table"),
    )
    use: list[sa.schema.SchemaItem] = [
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("set_id", sa.String(length=64), nullable=False),
        sa.Column("hours", sa.Float(), nullable=False),
        *([sa.Column("fallback", sa.String(length=24), nullable=False)] if later else []),
        sa.Column("warning", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["observation_group.key"], name="fk_group_calibration_key"),
        sa.ForeignKeyConstraint(["set_id"], ["calibration_set.id"], name="fk_group_calibration_set_id"),
        sa.PrimaryKeyConstraint("id", name="pk_group_calibration"),
    ]
    if later:
        use.append(
            sa.CheckConstraint(
                "fallback IN ('same_day', 'backup_calibrator', 'bandpass_selfcal', 'earlier_day')",
                name="ck_group_calibration_fallback",
            )
        )
    op.create_table("group_calibration", *use)
    op.create_index("ix_group_calibration_key", "group_calibration", ["key"], unique=False)
