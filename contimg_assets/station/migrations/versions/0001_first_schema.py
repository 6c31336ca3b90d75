"""The first schema: groups, products, verdicts, calibration sets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "observation_group",
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("n_subbands", sa.Integer(), nullable=False),
        sa.Column("missing_subbands", sa.JSON(), nullable=False),
        sa.Column("declination_deg", sa.Float(), nullable=False),
        sa.Column("mid_mjd", sa.Float(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("antennas", sa.JSON(), nullable=False),
        sa.Column("calibrator_name", sa.String(), nullable=True),
        sa.Column("calibrator_apparent_jy", sa.Float(), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("updated", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "state IN ('collecting', 'pending', 'in_progress', 'completed', 'failed')",
            name="ck_observation_group_state",
        ),
        sa.PrimaryKeyConstraint("key", name="pk_observation_group"),
    )
    op.create_index("ix_observation_group_mid_mjd", "observation_group", ["mid_mjd"], unique=False)
    op.create_index("ix_observation_group_state", "observation_group", ["state"], unique=False)

    op.create_table(
        "calibration_set",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("group_key", sa.String(length=19), nullable=False),
        sa.Column("mid_mjd", sa.Float(), nullable=False),
        sa.Column("valid_from_mjd", sa.Float(), nullable=False),
        sa.Column("valid_to_mjd", sa.Float(), nullable=False),
        sa.Column("declination_deg", sa.Float(), nullable=False),
        sa.Column("centre_ra", sa.Float(), nullable=False),
        sa.Column("antennas", sa.JSON(), nullable=False),
        sa.Column("refant", sa.String(), nullable=False),
        sa.Column("calibrator", sa.String(), nullable=False),
        sa.Column("flux_model", sa.JSON(), nullable=False),
        sa.Column("flux_source", sa.String(), nullable=False),
        sa.Column("channel_low_hz", sa.Float(), nullable=False),
        sa.Column("channel_high_hz", sa.Float(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("software", sa.JSON(), nullable=False),
        sa.Column("input_sha256", sa.String(), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("replaced_by", sa.String(length=64), nullable=True),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'retired', 'failed')", name="ck_calibration_set_status"),
        sa.ForeignKeyConstraint(
            ["group_key"], ["observation_group.key"], name="fk_calibration_set_group_key"
        ),
        sa.ForeignKeyConstraint(
            ["replaced_by"], ["calibration_set.id"], name="fk_calibration_set_replaced_by"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_calibration_set"),
    )
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
        "group_transition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("from", sa.String(length=16), nullable=True),
        sa.Column("to", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["observation_group.key"], name="fk_group_transition_key"),
        sa.PrimaryKeyConstraint("id", name="pk_group_transition"),
    )
    op.create_index("ix_group_transition_key", "group_transition", ["key"], unique=False)

    op.create_table(
        "product",
        sa.Column("group_key", sa.String(length=19), nullable=False),
        sa.Column("product", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["group_key"], ["observation_group.key"], name="fk_product_group_key"),
        sa.PrimaryKeyConstraint("group_key", "product", name="pk_product"),
    )
    op.create_table(
        "verdict",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("group_key", sa.String(length=19), nullable=False),
        sa.Column("product", sa.String(length=64), nullable=False),
        sa.Column("check", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("soft", sa.Float(), nullable=False),
        sa.Column("hard", sa.Float(), nullable=False),
        sa.Column("limits_version", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("status IN ('PASS', 'WARN', 'ERROR')", name="ck_verdict_status"),
        sa.ForeignKeyConstraint(["group_key"], ["observation_group.key"], name="fk_verdict_group_key"),
        sa.PrimaryKeyConstraint("id", name="pk_verdict"),
    )
    op.create_index("ix_verdict_group_key_product", "verdict", ["group_key", "product"], unique=False)

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
    op.create_table(
        "group_calibration",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("set_id", sa.String(length=64), nullable=False),
        sa.Column("hours", sa.Float(), nullable=False),
        sa.Column("warning", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["observation_group.key"], name="fk_group_calibration_key"),
        sa.ForeignKeyConstraint(["set_id"], ["calibration_set.id"], name="fk_group_calibration_set_id"),
        sa.PrimaryKeyConstraint("id", name="pk_group_calibration"),
    )
    op.create_index("ix_group_calibration_key", "group_calibration", ["key"], unique=False)


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table("group_calibration")
    op.drop_table("calibration_table")
    op.drop_table("verdict")
    op.drop_table("product")
    op.drop_table("group_transition")
    op.drop_table("calibration_set")
    op.drop_table("observation_group")
