"""Signs of life, what became of arrived files, pointing history, performance."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.add_column("observation_group", sa.Column("heartbeat", sa.DateTime(), nullable=True))
    # Whoever held a group gave no sign of life then: from now on that is how a living worker is told.
    op.execute("UPDATE observation_group SET owner = NULL")
    op.create_table(
        "arrived_file",
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime", sa.Float(), nullable=False),
        sa.Column("group_key", sa.String(length=19), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('used', 'duplicate', 'refused', 'late')", name="ck_arrived_file_outcome"
        ),
        sa.ForeignKeyConstraint(["group_key"], ["observation_group.key"], name="fk_arrived_file_group_key"),
        sa.PrimaryKeyConstraint("folder", "name", name="pk_arrived_file"),
    )
    op.create_index("ix_arrived_file_group_key", "arrived_file", ["group_key"], unique=False)
    op.create_index("ix_arrived_file_outcome", "arrived_file", ["outcome"], unique=False)
    op.create_table(
        "pointing",
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("start_mjd", sa.Float(), nullable=False),
        sa.Column("end_mjd", sa.Float(), nullable=False),
        sa.Column("declination_deg", sa.Float(), nullable=False),
        sa.Column("gap_s", sa.Float(), nullable=True),
        sa.Column("step_deg", sa.Float(), nullable=True),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["observation_group.key"], name="fk_pointing_key"),
        sa.PrimaryKeyConstraint("key", name="pk_pointing"),
    )
    op.create_index("ix_pointing_start_mjd", "pointing", ["start_mjd"], unique=False)
    op.create_table(
        "performance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("product", sa.String(length=64), nullable=False),
        sa.Column("retry", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(), nullable=True),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("writer", sa.String(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("peak_memory_mb", sa.Float(), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["observation_group.key"], name="fk_performance_key"),
        sa.PrimaryKeyConstraint("id", name="pk_performance"),
    )
    op.create_index("ix_performance_key", "performance", ["key"], unique=False)


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table("performance")
    op.drop_table("pointing")
    op.drop_table("arrived_file")
    op.drop_column("observation_group", "heartbeat")
