"""Writes that people ask for; a set that a person named; what lists show of sizes, flags and quality.

The rows of ``group_summary`` are removed: ``database.upgrade`` makes them anew, with the new columns.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BEFORE = ("same_day", "backup_calibrator", "bandpass_selfcal", "earlier_day")
_NAMED = "named"
#: Counted for every list, over all groups.
_FACETS = ("state", "verdict", "image_quality")
_TEXTS = ("calibration_quality", "image_quality")
_NUMBERS = {
    "measurement_set_bytes": sa.BigInteger(),
    "flag_fraction": sa.Float(),
    "dynamic_range": sa.Float(),
}


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "operator_action",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("request", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("user", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(length=16), nullable=False),
        sa.Column("peer", sa.String(), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("mutations", sa.JSON(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_operator_action"),
        sa.UniqueConstraint("request", name="uq_operator_action_request"),
    )
    op.create_index("ix_operator_action_at", "operator_action", ["at"], unique=False)
    op.create_index("ix_operator_action_user", "operator_action", ["user"], unique=False)
    op.execute("DELETE FROM group_summary")
    for name in _TEXTS:
        op.add_column(
            "group_summary", sa.Column(name, sa.String(length=9), nullable=False, server_default="unknown")
        )
    for name, kind in _NUMBERS.items():
        op.add_column("group_summary", sa.Column(name, kind, nullable=True))
    op.create_index("ix_group_summary_rms_mjy_beam", "group_summary", ["rms_mjy_beam"], unique=False)
    op.create_index("ix_group_summary_facets", "group_summary", list(_FACETS), unique=False)
    _allow(*_BEFORE, _NAMED)


def downgrade() -> None:
    """Undo this revision; groups that a named set calibrated are kept as of the same day."""
    op.execute("UPDATE group_calibration SET fallback = 'same_day' WHERE fallback = 'named'")
    _allow(*_BEFORE)
    op.drop_index("ix_group_summary_facets", table_name="group_summary")
    op.drop_index("ix_group_summary_rms_mjy_beam", table_name="group_summary")
    for name in (*_NUMBERS, *_TEXTS):
        op.drop_column("group_summary", name)
    op.drop_index("ix_operator_action_user", table_name="operator_action")
    op.drop_index("ix_operator_action_at", table_name="operator_action")
    op.drop_table("operator_action")


def _allow(*fallbacks: str) -> None:
    """Say which ways of coming to a set there are.  Nothing points to the table, so it can be made anew."""
    listed = ", ".join(f"'{name}'" for name in fallbacks)
    with op.batch_alter_table("group_calibration") as table:
        # On SQLite, where the table is made anew, the old constraint is not carried over.
        if op.get_bind().dialect.name != "sqlite":
            table.drop_constraint(op.f("ck_group_calibration_fallback"), type_="check")
        table.create_check_constraint(op.f("ck_group_calibration_fallback"), f"fallback IN ({listed})")
