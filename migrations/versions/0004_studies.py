"""Studies: a plan as it was given, and the runs that were made for it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables of studies; what is stored stays as it is."""
    op.create_table(
        "study",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("updated_at", sa.String, nullable=False),
        sa.UniqueConstraint("name", name="study_name"),
        sa.CheckConstraint("name <> ''", name="study_name_not_empty"),
    )
    op.create_table(
        "study_run",
        sa.Column("study_id", sa.Integer, sa.ForeignKey("study.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("network", sa.String, nullable=False),
        sa.Column("objective", sa.String, nullable=False),
        sa.Column("sigma", sa.Float, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("predictor", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Refuses: results are not thrown away; the copy made before the upgrade is the way back."""
    raise NotImplementedError("restore the backup instead")
