"""Sources of the sky, tiles and their days, and what people say of candidates."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "survey_source",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("ra_deg", sa.Float(), nullable=False),
        sa.Column("dec_deg", sa.Float(), nullable=False),
        sa.Column("tile", sa.String(length=8), nullable=False),
        sa.Column("n", sa.Integer(), nullable=True),
        sa.Column("mean_jy", sa.Float(), nullable=True),
        sa.Column("mean_error_jy", sa.Float(), nullable=True),
        sa.Column("eta", sa.Float(), nullable=True),
        sa.Column("modulation", sa.Float(), nullable=True),
        sa.Column("pair_sigma", sa.Float(), nullable=True),
        sa.Column("pair_modulation", sa.Float(), nullable=True),
        sa.Column("variable", sa.Boolean(), nullable=True),
        sa.Column("last_mjd", sa.Float(), nullable=True),
        sa.CheckConstraint("kind IN ('survey', 'watched')", name=op.f("ck_survey_source_kind")),
        sa.PrimaryKeyConstraint("name", name="pk_survey_source"),
    )
    op.create_index("ix_survey_source_tile", "survey_source", ["tile", "dec_deg"], unique=False)
    op.create_index("ix_survey_source_eta", "survey_source", ["eta"], unique=False)
    op.create_table(
        "survey_tile_day",
        sa.Column("day", sa.String(length=11), nullable=False),
        sa.Column("tile", sa.String(length=8), nullable=False),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "tile", name="pk_survey_tile_day"),
    )
    op.create_index("ix_survey_tile_day_tile", "survey_tile_day", ["tile"], unique=False)
    op.create_table(
        "candidate_review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("begin_mjd", sa.Float(), nullable=False),
        sa.Column("end_mjd", sa.Float(), nullable=False),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("user", sa.String(length=128), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("verdict IN ('event', 'maybe', 'no')", name=op.f("ck_candidate_review_verdict")),
        sa.PrimaryKeyConstraint("id", name="pk_candidate_review"),
    )
    op.create_index("ix_candidate_review_source", "candidate_review", ["source"], unique=False)
    op.add_column("group_summary", sa.Column("measured_version_id", sa.Integer(), nullable=True))
    op.add_column("group_summary", sa.Column("merged_version_id", sa.Integer(), nullable=True))
    op.add_column("group_summary", sa.Column("merge_due", sa.String(length=11), nullable=True))
    op.create_index("ix_group_summary_merge_due", "group_summary", ["merge_due"], unique=False)
    # Summaries of groups with measurements are made anew when the database is opened, with these columns.
    op.execute(
        "DELETE FROM group_summary WHERE key IN "
        "(SELECT key FROM product_version WHERE kind = 'group' AND product = 'photometry')"
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_index("ix_group_summary_merge_due", table_name="group_summary")
    op.drop_column("group_summary", "merge_due")
    op.drop_column("group_summary", "merged_version_id")
    op.drop_column("group_summary", "measured_version_id")
    op.drop_table("candidate_review")
    op.drop_table("survey_tile_day")
    op.drop_table("survey_source")
