"""What people call their runs and models, how a model was trained, and samples that had no answer.

Names, notes and tags say nothing about a result: no key holds them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns and the tables of tags; what is stored stays as it is."""
    for table in ("run", "checkpoint"):
        op.add_column(table, sa.Column("name", sa.String))
        op.add_column(table, sa.Column("note", sa.Text))
    op.add_column("checkpoint", sa.Column("history", sa.Text))
    # By hand: SQLite takes a constraint together with its column, and only so without writing the table anew.
    op.execute(
        "ALTER TABLE evidence ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0"
        " CONSTRAINT evidence_unanswered CHECK (unanswered >= 0 AND unanswered <= n0 + n)"
    )
    for table in ("run", "checkpoint"):
        reference = f"{table}_id"
        op.create_table(
            f"{table}_tag",
            sa.Column(reference, sa.Integer, sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), primary_key=True),
            sa.Column("tag", sa.String, primary_key=True),
            sa.CheckConstraint("tag <> ''", name=f"{table}_tag_not_empty"),
            sqlite_with_rowid=False,
        )


def downgrade() -> None:
    """Refuses: results are not thrown away; the copy made before the upgrade is the way back."""
    raise NotImplementedError("restore the backup instead")
