"""Alembic's entry point: runs the revisions on the connection that ``upgrade`` hands over.

Revisions are frozen: neither they nor this file import anything that lives on, so that a database of
any release is brought up to date the same way for ever.
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
