"""Versions of products, what went into them, and one row of summary for each group.

The rows of ``group_summary`` are not made here: they follow from the other tables, and
``database.upgrade`` makes those that are not there once the schema is the newest.
"""

import re
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

#: Of the paths in the database, which named the home: what follows it, by the layout below it.
_PRODUCT = re.compile(r"^.*/(products/\d{8}T\d{6}/.+)$")
_SET = re.compile(r"^.*/(calibration/\d{8}T\d{6}-[0-9a-f]{8})$")
_KINDS = "kind IN ('group', 'day', 'tile', 'none')"


def upgrade() -> None:
    """Apply this revision: each product becomes the current version of itself.

    Its content's name is on disk only, so the version stays empty, and the path is that of the link,
    until the link is read.
    """
    for name in ("product", "verdict", "performance"):
        op.execute(f"CREATE TEMPORARY TABLE old_{name} AS SELECT * FROM {name}")
        op.drop_table(name)
    _make_versions()
    _make_verdict(later=True)
    _make_performance(later=True)
    _make_summary()
    empty = "'{}'::json" if op.get_bind().dialect.name == "postgresql" else "'{}'"
    op.execute(
        "INSERT INTO product_version (kind, key, product, version, path, numbers, settings, run, made_at) "
        f"SELECT 'group', p.group_key, p.product, '', p.path, p.metrics, {empty}, o.run, p.created_at "
        "FROM old_product p LEFT JOIN old_performance o ON o.id = "
        "(SELECT max(n.id) FROM old_performance n WHERE n.key = p.group_key AND n.product = p.product) "
        "ORDER BY p.created_at, p.product"
    )
    op.execute(
        'INSERT INTO verdict (id, kind, key, product, version_id, "check", status, value, soft, hard, '
        "limits_version, at) "
        "SELECT o.id, 'group', o.group_key, o.product, v.id, o.\"check\", o.status, o.value, o.soft, o.hard, "
        "o.limits_version, o.at FROM old_verdict o LEFT JOIN product_version v "
        "ON v.key = o.group_key AND v.product = o.product AND o.at >= v.made_at"
    )
    op.execute(
        "INSERT INTO performance (id, kind, key, product, version_id, retry, run, host, writer, seconds, "
        "peak_memory_mb, at) "
        "SELECT o.id, 'group', o.key, o.product, v.id, o.retry, o.run, o.host, o.writer, o.seconds, "
        "o.peak_memory_mb, o.at FROM old_performance o "
        "LEFT JOIN (SELECT max(id) AS id FROM old_performance GROUP BY key, product) n ON n.id = o.id "
        "LEFT JOIN product_version v ON n.id IS NOT NULL AND v.key = o.key AND v.product = o.product"
    )
    _rewrite("product_version", "id", lambda path: _PRODUCT.sub(r"\1", path))
    _rewrite("calibration_set", "id", lambda path: _PRODUCT.sub(r"\1", _SET.sub(r"\1", path)))
    _finish("product", "verdict", "performance")


def downgrade() -> None:
    """Undo this revision: the current versions of groups' products are kept, and paths stay relative."""
    op.drop_table("group_summary")
    for name in ("verdict", "performance"):
        op.execute(f"CREATE TEMPORARY TABLE old_{name} AS SELECT * FROM {name} WHERE kind = 'group'")
        op.drop_table(name)
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
    op.execute(
        "INSERT INTO product (group_key, product, path, metrics, created_at) "
        "SELECT key, product, path, numbers, made_at FROM product_version "
        "WHERE kind = 'group' AND superseded_at IS NULL"
    )
    _make_verdict(later=False)
    _make_performance(later=False)
    same = 'product, "check", status, value, soft, hard, limits_version, at'
    op.execute(f"INSERT INTO verdict (id, group_key, {same}) SELECT id, key, {same} FROM old_verdict")
    same = "id, key, product, retry, run, host, writer, seconds, peak_memory_mb, at"
    op.execute(f"INSERT INTO performance ({same}) SELECT {same} FROM old_performance")
    op.drop_table("product_input")
    op.drop_table("product_version")
    _finish("verdict", "performance")


def _rewrite(table: str, key: str, relative: Callable[[str], str]) -> None:
    """Change the paths of a table."""
    rows = sa.table(table, sa.column(key), sa.column("path"))
    connection = op.get_bind()
    for identity, path in connection.execute(sa.select(rows.c[key], rows.c.path)).all():
        if relative(path) != path:
            connection.execute(sa.update(rows).where(rows.c[key] == identity).values(path=relative(path)))


def _finish(*names: str) -> None:
    """Remove the temporary copies; on PostgreSQL let the next row come after those with numbers."""
    for name in names:
        op.execute(f"DROP TABLE old_{name}")
    if op.get_bind().dialect.name == "postgresql":
        for name in ("verdict", "performance"):
            op.execute(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), "
                f"COALESCE((SELECT MAX(id) FROM {name}), 0) + 1, false)"
            )


def _make_versions() -> None:
    op.create_table(
        "product_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("product", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("numbers", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("run", sa.String(), nullable=True),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("superseded_at", sa.DateTime(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint(_KINDS, name="ck_product_version_kind"),
        sa.PrimaryKeyConstraint("id", name="pk_product_version"),
    )
    op.create_index("ix_product_version_key_product", "product_version", ["kind", "key", "product"])
    op.create_index("ix_product_version_path", "product_version", ["path"])
    op.create_index("ix_product_version_superseded_at", "product_version", ["superseded_at"])
    op.create_index(
        "uq_product_version_one_current",
        "product_version",
        ["kind", "key", "product"],
        unique=True,
        sqlite_where=sa.text("superseded_at IS NULL"),
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
    op.create_table(
        "product_input",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("input_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["product_version.id"], name="fk_product_input_version_id"),
        sa.ForeignKeyConstraint(["input_id"], ["product_version.id"], name="fk_product_input_input_id"),
        sa.PrimaryKeyConstraint("version_id", "input_id", name="pk_product_input"),
    )
    op.create_index("ix_product_input_input_id", "product_input", ["input_id"])


def _owner_columns(table: str, *, later: bool, key: str) -> list[sa.schema.SchemaItem]:
    """What a row of ``verdict`` or ``performance`` is about."""
    if not later:
        return [
            sa.Column(key, sa.String(length=19), nullable=False),
            sa.Column("product", sa.String(length=64), nullable=False),
            sa.ForeignKeyConstraint([key], ["observation_group.key"], name=f"fk_{table}_{key}"),
        ]
    return [
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("product", sa.String(length=64), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(_KINDS, name=f"ck_{table}_kind"),
        sa.ForeignKeyConstraint(["version_id"], ["product_version.id"], name=f"fk_{table}_version_id"),
    ]


def _make_verdict(*, later: bool) -> None:
    op.create_table(
        "verdict",
        sa.Column("id", sa.Integer(), nullable=False),
        *_owner_columns("verdict", later=later, key="group_key"),
        sa.Column("check", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("soft", sa.Float(), nullable=False),
        sa.Column("hard", sa.Float(), nullable=False),
        sa.Column("limits_version", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("status IN ('PASS', 'WARN', 'ERROR')", name="ck_verdict_status"),
        sa.PrimaryKeyConstraint("id", name="pk_verdict"),
    )
    if later:
        op.create_index("ix_verdict_key_product", "verdict", ["kind", "key", "product"])
        op.create_index("ix_verdict_version_id", "verdict", ["version_id"])
    else:
        op.create_index("ix_verdict_group_key_product", "verdict", ["group_key", "product"])


def _make_performance(*, later: bool) -> None:
    op.create_table(
        "performance",
        sa.Column("id", sa.Integer(), nullable=False),
        *_owner_columns("performance", later=later, key="key"),
        sa.Column("retry", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(), nullable=True),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("writer", sa.String(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("peak_memory_mb", sa.Float(), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_performance"),
    )
    op.create_index("ix_performance_key", "performance", ["key"])
    if later:
        op.create_index("ix_performance_version_id", "performance", ["version_id"])


def _make_summary() -> None:
    op.create_table(
        "group_summary",
        sa.Column("key", sa.String(length=19), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("n_subbands", sa.Integer(), nullable=False),
        sa.Column("declination_deg", sa.Float(), nullable=False),
        sa.Column("mid_mjd", sa.Float(), nullable=False),
        sa.Column("calibrator_name", sa.String(), nullable=True),
        sa.Column("calibrator_apparent_jy", sa.Float(), nullable=True),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("n_warn", sa.Integer(), nullable=False),
        sa.Column("n_error", sa.Integer(), nullable=False),
        sa.Column("worst_check", sa.String(), nullable=False),
        sa.Column("n_products", sa.Integer(), nullable=False),
        sa.Column("image_version_id", sa.Integer(), nullable=True),
        sa.Column("image_made_at", sa.DateTime(), nullable=True),
        sa.Column("rms_mjy_beam", sa.Float(), nullable=True),
        sa.Column("rms_ratio", sa.Float(), nullable=True),
        sa.Column("n_sources", sa.Integer(), nullable=True),
        sa.Column("flux_ratio", sa.Float(), nullable=True),
        sa.Column("astrometric_offset_arcsec", sa.Float(), nullable=True),
        sa.Column("set_id", sa.String(length=64), nullable=True),
        sa.Column("calibration_hours", sa.Float(), nullable=True),
        sa.Column("fallback", sa.String(length=24), nullable=True),
        sa.Column("updated", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["observation_group.key"], name="fk_group_summary_key"),
        sa.ForeignKeyConstraint(
            ["image_version_id"], ["product_version.id"], name="fk_group_summary_image_version_id"
        ),
        sa.ForeignKeyConstraint(["set_id"], ["calibration_set.id"], name="fk_group_summary_set_id"),
        sa.PrimaryKeyConstraint("key", name="pk_group_summary"),
    )
    for column in ("state", "mid_mjd", "verdict"):
        op.create_index(f"ix_group_summary_{column}", "group_summary", [column])
