"""What people say of groups; campaigns that make one product again, with options of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "group_review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("user", sa.String(length=128), nullable=False),
        sa.Column("machine_verdict", sa.String(length=8), nullable=False),
        sa.Column("image_version_id", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("verdict IN ('PASS', 'WARN', 'ERROR')", name=op.f("ck_group_review_verdict")),
        sa.ForeignKeyConstraint(["key"], ["observation_group.key"], name="fk_group_review_key"),
        sa.ForeignKeyConstraint(
            ["image_version_id"], ["product_version.id"], name="fk_group_review_image_version_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_group_review"),
    )
    op.create_index("ix_group_review_key", "group_review", ["key"], unique=False)
    # Campaigns that are there make groups again as a whole.
    op.add_column(
        "campaign", sa.Column("kind", sa.String(length=16), nullable=False, server_default="remake")
    )
    op.add_column("campaign", sa.Column("parameters", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Undo this revision."""
    op.drop_column("campaign", "parameters")
    op.drop_column("campaign", "kind")
    op.drop_index("ix_group_review_key", table_name="group_review")
    op.drop_table("group_review")
