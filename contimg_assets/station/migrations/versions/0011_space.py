"""What products take on disk, why content was removed, and the state of the guard of the disk."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.add_column("product_version", sa.Column("made_bytes", sa.BigInteger(), nullable=True))
    op.add_column("product_version", sa.Column("kept_bytes", sa.BigInteger(), nullable=True))
    op.add_column("product_version", sa.Column("compressed_at", sa.DateTime(), nullable=True))
    op.add_column(
        "product_version",
        sa.Column("removed_because", sa.String(), nullable=False, server_default=""),
    )
    op.create_table(
        "space_guard",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_space_guard"),
    )
    op.create_table(
        "space_sample",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("free_bytes", sa.BigInteger(), nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_space_sample"),
    )
    op.create_index("ix_space_sample_at", "space_sample", ["at"], unique=False)


def downgrade() -> None:
    """Undo this revision."""
    op.drop_index("ix_space_sample_at", table_name="space_sample")
    op.drop_table("space_sample")
    op.drop_table("space_guard")
    op.drop_column("product_version", "removed_because")
    op.drop_column("product_version", "compressed_at")
    op.drop_column("product_version", "kept_bytes")
    op.drop_column("product_version", "made_bytes")
