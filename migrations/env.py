"""Alembic's environment: the program hands over an open connection, inside its own transaction.

Invariant: a migration runs wholly or not at all. No model of the application is imported here or in a version: a
migration must mean the same for ever, whatever the models become.
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    version_table="rsuq_version",
    # By default Alembic commits every statement by itself on SQLite, although SQLite can undo DDL.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
