"""A lease owns a group, in place of an owner and a heartbeat in the group's own row."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision.

    Nobody holds a group after it: no worker of the release before could renew a lease.
    """
    op.create_table(
        "lease",
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process", sa.String(), nullable=False),
        sa.Column("taken_at", sa.DateTime(), nullable=False),
        sa.Column("heartbeat", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["observation_group.key"], name="fk_lease_key"),
        sa.PrimaryKeyConstraint("key", name="pk_lease"),
    )
    op.create_index("ix_lease_owner", "lease", ["owner"], unique=False)
    # SQLite drops a plain column in place. To make the table anew, as Alembic's batch mode does, would
    # fail on the rows that point to it.
    op.drop_column("observation_group", "owner")
    op.drop_column("observation_group", "heartbeat")


def downgrade() -> None:
    """Undo this revision."""
    op.add_column("observation_group", sa.Column("owner", sa.String(), nullable=True))
    op.add_column("observation_group", sa.Column("heartbeat", sa.DateTime(), nullable=True))
    op.drop_index("ix_lease_owner", table_name="lease")
    op.drop_table("lease")
