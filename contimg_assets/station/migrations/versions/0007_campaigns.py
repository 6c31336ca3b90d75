"""Campaigns: groups that are to be made again, and what became of each."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_OPEN = "state IN ('waiting', 'running')"


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "campaign",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("estimate", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint("state IN ('running', 'paused', 'cancelled', 'done')", name="ck_campaign_state"),
        sa.PrimaryKeyConstraint("id", name="pk_campaign"),
        sa.UniqueConstraint("name", name="uq_campaign_name"),
    )
    op.create_index("ix_campaign_state", "campaign", ["state"], unique=False)
    op.create_table(
        "campaign_group",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("image_version_id", sa.Integer(), nullable=True),
        sa.Column("retries", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fed_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("run", sa.String(), nullable=True),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("failure", sa.String(), nullable=False),
        sa.Column("failure_kind", sa.String(length=64), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'completed', 'failed', 'skipped', 'cancelled')",
            name="ck_campaign_group_state",
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_campaign_group_campaign_id"),
        sa.ForeignKeyConstraint(["key"], ["observation_group.key"], name="fk_campaign_group_key"),
        sa.PrimaryKeyConstraint("campaign_id", "key", name="pk_campaign_group"),
    )
    op.create_index(
        "ix_campaign_group_state", "campaign_group", ["state", "campaign_id", "place", "key"], unique=False
    )
    op.create_index("ix_campaign_group_ended", "campaign_group", ["campaign_id", "ended_at"], unique=False)
    op.create_index(
        "uq_campaign_group_one_open",
        "campaign_group",
        ["key"],
        unique=True,
        sqlite_where=sa.text(_OPEN),
        postgresql_where=sa.text(_OPEN),
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table("campaign_group")
    op.drop_table("campaign")
