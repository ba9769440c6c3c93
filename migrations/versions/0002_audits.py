"""Audits: attempts to break what was certified, ball by ball.

A ball is broken only where fresh noise says so with confidence, and the point lies inside the ball: both are held here.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables of audits."""
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("scoring_id", sa.Integer, sa.ForeignKey("scoring.id", ondelete="CASCADE"), nullable=False),
        sa.Column("attack", sa.String, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("radius_scale", sa.Float, nullable=False),
        sa.Column("inputs", sa.Integer, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("alpha", sa.Float, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.UniqueConstraint(
            "scoring_id", "attack", "steps", "radius_scale", "inputs", "n", "alpha", "seed", "device", name="audit_key"
        ),
        sa.CheckConstraint("attack IN ('pgd', 'random', 'both')", name="audit_attack"),
        sa.CheckConstraint("steps >= 1 AND inputs >= 1 AND n >= 1", name="audit_counts"),
        sa.CheckConstraint("radius_scale > 0", name="audit_radius_scale"),
        sa.CheckConstraint("alpha > 0 AND alpha < 1", name="audit_alpha"),
    )
    op.create_table(
        "audit_ball",
        sa.Column("audit_id", sa.Integer, sa.ForeignKey("audit.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("input_index", sa.Integer, primary_key=True),
        sa.Column("guarantee", sa.String, primary_key=True),
        sa.Column("class_index", sa.Integer, nullable=False),
        sa.Column("radius", sa.Float, nullable=False),
        sa.Column("distance", sa.Float, nullable=False),
        sa.Column("attack", sa.String, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("mass", sa.Float, nullable=False),
        sa.Column("bound", sa.Float, nullable=False),
        sa.Column("excess", sa.Float, nullable=False),
        sa.Column("excess_lower", sa.Float, nullable=False),
        sa.Column("broken", sa.Boolean, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.CheckConstraint("input_index >= 0", name="audit_ball_input_index"),
        sa.CheckConstraint("guarantee IN ('standard', 'cc', 'ncl')", name="audit_ball_guarantee"),
        sa.CheckConstraint("attack IN ('pgd', 'random')", name="audit_ball_attack"),
        sa.CheckConstraint("distance >= 0 AND distance <= radius", name="audit_ball_inside"),
        sa.CheckConstraint("n >= 1", name="audit_ball_n"),
        sa.CheckConstraint("mass BETWEEN 0 AND 1 AND bound BETWEEN 0 AND 1", name="audit_ball_masses"),
        sa.CheckConstraint("excess_lower <= excess", name="audit_ball_excess"),
        sa.CheckConstraint("broken = (excess_lower > 0)", name="audit_ball_broken"),
        sa.CheckConstraint("seconds >= 0", name="audit_ball_seconds"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Refuses: results are not thrown away; the copy made before the upgrade is the way back."""
    raise NotImplementedError("restore the backup instead")
