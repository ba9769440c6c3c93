"""The first tables: checkpoints, runs, evidence, scorings, certified samples, scores, metrics, and two views.

Constraints hold what the certificates promise, so that no program can store what is not true of any of them:
radius_cc <= radius_standard <= radius_ncl under the majority rule with merged competitors (Däubener et al. 2024),
counts within n, and an answer that is right only where it was given.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CERTIFIED = """
CREATE VIEW certified AS
SELECT sample.scoring_id, scoring.run_id, run.model, run.dataset, run.split, run.sigma, run.n0, run.seed,
       scoring.measure, scoring.threshold, scoring.coverage AS threshold_coverage, sample.rule, sample.competitors,
       scoring.alpha, scoring.family_size, sample.input_index, sample.label, sample.class_index, sample.standard_class,
       sample.decision, sample.correct, sample.is_uncertain, sample.standard_decided, sample.at_ceiling, sample.n,
       sample.certain_count, sample.uncertain_count, sample.vote_count, sample.radius_standard, sample.radius_cc,
       sample.radius_ncl, sample.radius_uncertain
FROM certified_sample AS sample
JOIN scoring ON scoring.id = sample.scoring_id
JOIN run ON run.id = scoring.run_id
"""

RUN_SUMMARY = """
CREATE VIEW run_summary AS
SELECT summary.*, acr_ncl / NULLIF(acr_standard, 0) - 1 AS gain, 1 - acr_cc / NULLIF(acr_standard, 0) AS cc_cost
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
           AVG(CASE WHEN sample.class_index = sample.label THEN sample.radius_ncl ELSE 0.0 END) AS acr_ncl
    FROM certified_sample AS sample
    JOIN scoring ON scoring.id = sample.scoring_id
    JOIN run ON run.id = scoring.run_id
    GROUP BY run.id, scoring.id
) AS summary
"""


def upgrade() -> None:
    """Makes every table, index and view."""
    _checkpoint()
    _run()
    _bin_edges()
    _evidence()
    _scoring()
    _certified_sample()
    _ood_score()
    _metric()
    op.execute(CERTIFIED)
    op.execute(RUN_SUMMARY)


def downgrade() -> None:
    """Refuses: results are not thrown away; the copy made before the upgrade is the way back."""
    raise NotImplementedError("restore the backup instead")


def _checkpoint() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("dataset", sa.String, nullable=False),
        sa.Column("sigma", sa.Float, nullable=False),
        sa.Column("objective", sa.String, nullable=False),
        sa.Column("file", sa.String, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("accuracy_clean", sa.Float),
        sa.Column("accuracy_noisy", sa.Float),
        sa.Column("configuration", sa.Text, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.UniqueConstraint("sha256", name="checkpoint_sha256_key"),
        sa.CheckConstraint("sigma >= 0", name="checkpoint_sigma"),
        sa.CheckConstraint(
            "accuracy_clean BETWEEN 0 AND 1 AND accuracy_noisy BETWEEN 0 AND 1", name="checkpoint_accuracy"
        ),
    )
    op.create_index("checkpoint_trained_for", "checkpoint", ["model", "dataset", "sigma"])


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("checkpoint_id", sa.Integer, sa.ForeignKey("checkpoint.id", ondelete="SET NULL")),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("dataset", sa.String, nullable=False),
        sa.Column("split", sa.String, nullable=False),
        sa.Column("skip", sa.Integer, nullable=False),
        sa.Column("subset_limit", sa.Integer),
        sa.Column("inputs", sa.Integer, nullable=False),
        sa.Column("subset_sha256", sa.String, nullable=False),
        sa.Column("sigma", sa.Float, nullable=False),
        sa.Column("n0", sa.Integer, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("precision", sa.String, nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("configuration", sa.Text, nullable=False),
        sa.Column("configuration_hash", sa.String, nullable=False),
        sa.Column("edges_hash", sa.String, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("source", sa.String),
        sa.Column("warnings", sa.Text),
        sa.Column("class_names", sa.Text),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("updated_at", sa.String, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.UniqueConstraint("configuration_hash", "edges_hash", "attempt", name="run_key"),
        sa.CheckConstraint("status IN ('running', 'complete', 'interrupted')", name="run_status"),
        sa.CheckConstraint("sigma > 0", name="run_sigma"),
        sa.CheckConstraint("n0 >= 0 AND n >= 0", name="run_samples"),
        sa.CheckConstraint(
            "inputs >= 0 AND skip >= 1 AND (subset_limit IS NULL OR subset_limit >= 1)", name="run_subset"
        ),
        sa.CheckConstraint("attempt >= 1", name="run_attempt"),
        sa.CheckConstraint("seconds >= 0", name="run_seconds"),
    )
    op.create_index("run_experiment", "run", ["dataset", "model", "sigma"])
    op.create_index("run_checkpoint", "run", ["checkpoint_id"])


def _bin_edges() -> None:
    op.create_table(
        "bin_edges",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("measure", sa.String, primary_key=True),
        sa.Column("edges", sa.LargeBinary, nullable=False),
        sa.Column("coverages", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("LENGTH(edges) = LENGTH(coverages)", name="bin_edges_lengths"),
    )


def _evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("input_index", sa.Integer, primary_key=True),
        sa.Column("label", sa.Integer, nullable=False),
        sa.Column("n0", sa.Integer, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("counts", sa.LargeBinary, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.CheckConstraint("input_index >= 0", name="evidence_input_index"),
        sa.CheckConstraint("n0 >= 0 AND n >= 0", name="evidence_samples"),
        sa.CheckConstraint("seconds >= 0", name="evidence_seconds"),
    )


def _scoring() -> None:
    op.create_table(
        "scoring",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.id", ondelete="CASCADE"), nullable=False),
        sa.Column("measure", sa.String, nullable=False),
        sa.Column("threshold", sa.Float),
        sa.Column("coverage", sa.Float),
        sa.Column("rule", sa.String, nullable=False),
        sa.Column("competitors", sa.String, nullable=False),
        sa.Column("alpha", sa.Float, nullable=False),
        sa.Column("family_size", sa.Integer, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.CheckConstraint("coverage BETWEEN 0 AND 1", name="scoring_coverage"),
        sa.CheckConstraint("rule IN ('majority', 'plurality', 'filtered', 'standard')", name="scoring_rule"),
        sa.CheckConstraint("competitors IN ('merged', 'class-wise', 'auto')", name="scoring_competitors"),
        sa.CheckConstraint("alpha > 0 AND alpha < 1", name="scoring_alpha"),
        sa.CheckConstraint("family_size >= 1", name="scoring_family_size"),
    )
    # NULLs differ from each other in a unique index: without the two expressions a scoring without threshold could be
    # stored twice.
    key = ["run_id", "measure", sa.text("(threshold IS NULL)"), sa.text("COALESCE(threshold, 0)")]
    op.create_index("scoring_key", "scoring", [*key, "rule", "competitors", "alpha", "family_size"], unique=True)


def _certified_sample() -> None:
    op.create_table(
        "certified_sample",
        sa.Column("scoring_id", sa.Integer, sa.ForeignKey("scoring.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("input_index", sa.Integer, primary_key=True),
        sa.Column("label", sa.Integer, nullable=False),
        sa.Column("class_index", sa.Integer, nullable=False),
        sa.Column("standard_class", sa.Integer, nullable=False),
        sa.Column("decision", sa.String, nullable=False),
        sa.Column("correct", sa.Boolean, nullable=False),
        sa.Column("is_uncertain", sa.Boolean, nullable=False),
        sa.Column("standard_decided", sa.Boolean, nullable=False),
        sa.Column("at_ceiling", sa.Boolean, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("certain_count", sa.Integer, nullable=False),
        sa.Column("uncertain_count", sa.Integer, nullable=False),
        sa.Column("vote_count", sa.Integer, nullable=False),
        sa.Column("radius_standard", sa.Float, nullable=False),
        sa.Column("radius_cc", sa.Float, nullable=False),
        sa.Column("radius_ncl", sa.Float, nullable=False),
        sa.Column("radius_uncertain", sa.Float, nullable=False),
        sa.Column("rule", sa.String, nullable=False),
        sa.Column("competitors", sa.String, nullable=False),
        sa.CheckConstraint("input_index >= 0", name="certified_sample_input_index"),
        sa.CheckConstraint("decision IN ('certain', 'uncertain', 'undecided')", name="certified_sample_decision"),
        sa.CheckConstraint("correct = (decision = 'certain' AND class_index = label)", name="certified_sample_correct"),
        sa.CheckConstraint("is_uncertain = (decision <> 'certain')", name="certified_sample_is_uncertain"),
        sa.CheckConstraint(
            "standard_decided IN (TRUE, FALSE) AND at_ceiling IN (TRUE, FALSE)", name="certified_sample_flags"
        ),
        sa.CheckConstraint("n >= 1", name="certified_sample_n"),
        sa.CheckConstraint(
            "certain_count >= 0 AND uncertain_count >= 0 AND certain_count + uncertain_count <= n"
            " AND vote_count >= 0 AND vote_count <= n",
            name="certified_sample_counts",
        ),
        sa.CheckConstraint(
            "radius_standard >= 0 AND radius_cc >= 0 AND radius_ncl >= 0 AND radius_uncertain >= 0",
            name="certified_sample_radii",
        ),
        sa.CheckConstraint("decision = 'certain' OR radius_cc = 0", name="certified_sample_no_radius_without_proof"),
        sa.CheckConstraint("rule IN ('majority', 'plurality', 'filtered', 'standard')", name="certified_sample_rule"),
        sa.CheckConstraint("competitors IN ('merged', 'class-wise')", name="certified_sample_competitors"),
        sa.CheckConstraint(
            "rule <> 'majority' OR competitors <> 'merged' OR class_index <> standard_class"
            " OR (radius_cc <= radius_standard AND radius_standard <= radius_ncl)",
            name="certified_sample_order",
        ),
        # The rows of one scoring lie together: a report reads them in one sweep.
        sqlite_with_rowid=False,
    )


def _ood_score() -> None:
    op.create_table(
        "ood_score",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("ood_set", sa.String, primary_key=True),
        sa.Column("input_index", sa.Integer, primary_key=True),
        sa.Column("score", sa.String, primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )


def _metric() -> None:
    op.create_table(
        "metric",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.id", ondelete="CASCADE"), nullable=False),
        sa.Column("scoring_id", sa.Integer, sa.ForeignKey("scoring.id", ondelete="CASCADE")),
        sa.Column("ood_set", sa.String),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("score", sa.String),
        sa.Column("radius", sa.Float),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.CheckConstraint("radius IS NULL OR radius >= 0", name="metric_radius"),
    )
    op.create_index("metric_run", "metric", ["run_id", "name"])
    op.create_index("metric_scoring", "metric", ["scoring_id"])
