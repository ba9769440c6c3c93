"""Which bounds a certificate was made with, the baseline with explicit competitors, audits of "stays uncertain".

What is stored has the bounds of version 1. With those of version 2 the order of the radii holds however competitors are
bounded, and is held here.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CERTIFIED = """
CREATE VIEW certified AS
SELECT sample.scoring_id, scoring.run_id, run.model, run.dataset, run.split, run.sigma, run.n0, run.seed,
       scoring.measure, scoring.threshold, scoring.coverage AS threshold_coverage, sample.rule, sample.competitors,
       scoring.alpha, scoring.family_size, sample.input_index, sample.label, sample.class_index, sample.standard_class,
       sample.decision, sample.correct, sample.is_uncertain, sample.standard_decided, sample.at_ceiling, sample.n,
       sample.certain_count, sample.uncertain_count, sample.vote_count, sample.radius_standard, sample.radius_cc,
       sample.radius_ncl, sample.radius_uncertain, sample.radius_explicit, sample.bounds_version
FROM certified_sample AS sample
JOIN scoring ON scoring.id = sample.scoring_id
JOIN run ON run.id = scoring.run_id
"""

RUN_SUMMARY = """
CREATE VIEW run_summary AS
SELECT summary.*, acr_ncl / NULLIF(acr_standard, 0) - 1 AS gain, 1 - acr_cc / NULLIF(acr_standard, 0) AS cc_cost,
       acr_ncl / NULLIF(acr_explicit, 0) - 1 AS gain_explicit
FROM (
    SELECT run.id AS run_id, scoring.id AS scoring_id, run.kind, run.status, run.model, run.dataset, run.split,
           run.sigma, run.n0, run.n, run.seed, scoring.measure, scoring.threshold,
           scoring.coverage AS threshold_coverage, scoring.rule, scoring.competitors, scoring.alpha,
           scoring.family_size, run.inputs AS planned, COUNT(*) AS inputs,
           AVG(CASE WHEN sample.standard_decided AND sample.standard_class = sample.label THEN 1.0 ELSE 0.0 END)
               AS clean_accuracy,
           AVG(CASE WHEN sample.correct THEN 1.0 ELSE 0.0 END) AS accuracy,
           AVG(CASE WHEN sample.decision = 'certain' THEN 1.0 ELSE 0.0 END) AS coverage,
           AVG(CASE WHEN sample.standard_class = sample.label THEN sample.radius_standard ELSE 0.0 END) AS acr_standard,
           AVG(CASE WHEN sample.correct THEN sample.radius_cc ELSE 0.0 END) AS acr_cc,
           AVG(CASE WHEN sample.class_index = sample.label THEN sample.radius_ncl ELSE 0.0 END) AS acr_ncl,
           AVG(CASE WHEN sample.radius_explicit IS NULL THEN NULL
                    WHEN sample.standard_class = sample.label THEN sample.radius_explicit ELSE 0.0 END) AS acr_explicit,
           scoring.bounds_version
    FROM certified_sample AS sample
    JOIN scoring ON scoring.id = sample.scoring_id
    JOIN run ON run.id = scoring.run_id
    GROUP BY run.id, scoring.id
) AS summary
"""


def upgrade() -> None:
    """Adds the columns; what is stored stays as it is."""
    for view in ("run_summary", "certified"):
        op.execute(f"DROP VIEW {view}")
    # By hand: SQLite takes a constraint together with its column, and only so without writing the table anew.
    op.execute(
        "ALTER TABLE scoring ADD COLUMN bounds_version INTEGER NOT NULL DEFAULT 1"
        " CONSTRAINT scoring_bounds_version CHECK (bounds_version IN (1, 2))"
    )
    op.drop_index("scoring_key", "scoring")
    key = ["run_id", "measure", sa.text("(threshold IS NULL)"), sa.text("COALESCE(threshold, 0)")]
    names = ["rule", "competitors", "alpha", "family_size", "bounds_version"]
    op.create_index("scoring_key", "scoring", [*key, *names], unique=True)
    op.execute(
        "ALTER TABLE certified_sample ADD COLUMN radius_explicit FLOAT"
        " CONSTRAINT certified_sample_radius_explicit CHECK (radius_explicit >= 0)"
    )
    op.execute(
        "ALTER TABLE certified_sample ADD COLUMN bounds_version INTEGER NOT NULL DEFAULT 1"
        " CONSTRAINT certified_sample_bounds_version CHECK (bounds_version IN (1, 2))"
        " CONSTRAINT certified_sample_order_of_every_form CHECK (bounds_version < 2 OR rule <> 'majority'"
        " OR class_index <> standard_class OR (radius_cc <= radius_standard AND radius_standard <= radius_ncl))"
    )
    _audit_ball()
    op.execute(CERTIFIED)
    op.execute(RUN_SUMMARY)


def downgrade() -> None:
    """Refuses: results are not thrown away; the copy made before the upgrade is the way back."""
    raise NotImplementedError("restore the backup instead")


def _audit_ball() -> None:
    """Writes the table anew with one guarantee more: SQLite cannot change a constraint."""
    op.create_table(
        "audit_ball_of_four",
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
        sa.CheckConstraint("guarantee IN ('standard', 'cc', 'ncl', 'uncertain')", name="audit_ball_guarantee"),
        sa.CheckConstraint("attack IN ('pgd', 'random')", name="audit_ball_attack"),
        sa.CheckConstraint("distance >= 0 AND distance <= radius", name="audit_ball_inside"),
        sa.CheckConstraint("n >= 1", name="audit_ball_n"),
        sa.CheckConstraint("mass BETWEEN 0 AND 1 AND bound BETWEEN 0 AND 1", name="audit_ball_masses"),
        sa.CheckConstraint("excess_lower <= excess", name="audit_ball_excess"),
        sa.CheckConstraint("broken = (excess_lower > 0)", name="audit_ball_broken"),
        sa.CheckConstraint("seconds >= 0", name="audit_ball_seconds"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO audit_ball_of_four SELECT * FROM audit_ball")
    op.drop_table("audit_ball")
    op.rename_table("audit_ball_of_four", "audit_ball")
