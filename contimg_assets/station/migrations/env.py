"""Alembic's entry point: runs the revisions on the connection that ``upgrade`` hands over."""

from alembic import context

from contimg_assets.station.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
