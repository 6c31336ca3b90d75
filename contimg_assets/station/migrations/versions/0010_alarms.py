"""Alarms, the messages that tell of them, and how far telling has come."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "alarm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("cause", sa.String(length=200), nullable=False),
        sa.Column("severity", sa.String(length=8), nullable=False),
        sa.Column("lasting", sa.Boolean(), nullable=False),
        sa.Column("subjects", sa.JSON(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("n_times", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(), nullable=False),
        sa.Column("last_at", sa.DateTime(), nullable=False),
        sa.Column("told_at", sa.DateTime(), nullable=True),
        sa.Column("n_told", sa.Integer(), nullable=False),
        sa.Column("times_told", sa.Integer(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=128), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("cleared_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint("severity IN ('page', 'tell')", name=op.f("ck_alarm_severity")),
        sa.PrimaryKeyConstraint("id", name="pk_alarm"),
    )
    op.create_index("ix_alarm_last_at", "alarm", ["last_at"], unique=False)
    op.create_index("ix_alarm_cleared_at", "alarm", ["cleared_at"], unique=False)
    op.create_index(
        "uq_alarm_one_open",
        "alarm",
        ["kind", "cause"],
        unique=True,
        sqlite_where=sa.text("cleared_at IS NULL"),
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("attachment", sa.String(), nullable=True),
        sa.Column("queued_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.DateTime(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('alarm', 'summary', 'cleared', 'report', 'test')", name=op.f("ck_delivery_kind")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
    )
    op.create_index("ix_delivery_queued_at", "delivery", ["queued_at"], unique=False)
    op.create_index("ix_delivery_due_at", "delivery", ["due_at"], unique=False)
    op.create_table(
        "told_mark",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_told_mark"),
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table("told_mark")
    op.drop_index("ix_delivery_due_at", table_name="delivery")
    op.drop_index("ix_delivery_queued_at", table_name="delivery")
    op.drop_table("delivery")
    op.drop_index("uq_alarm_one_open", table_name="alarm")
    op.drop_index("ix_alarm_cleared_at", table_name="alarm")
    op.drop_index("ix_alarm_last_at", table_name="alarm")
    op.drop_table("alarm")
