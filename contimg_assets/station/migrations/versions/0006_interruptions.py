"""What breaks work off is noted, and when a group that waits for storage is looked at again."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision: until now every way back from work in progress was counted as a death."""
    op.add_column("group_transition", sa.Column("cause", sa.String(length=16), nullable=True))
    op.add_column("observation_group", sa.Column("not_before", sa.DateTime(), nullable=True))
    transition = sa.table("group_transition", sa.column("cause"), sa.column("from"), sa.column("to"))
    op.execute(
        transition.update()
        .where(transition.c["from"] == "in_progress", transition.c["to"] == "pending")
        .values(cause="died")
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_column("observation_group", "not_before")
    op.drop_column("group_transition", "cause")
