BEGIN TRANSACTION;
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	scoring_id INTEGER NOT NULL, 
	attack VARCHAR NOT NULL, 
	steps INTEGER NOT NULL, 
	radius_scale FLOAT NOT NULL, 
	inputs INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	alpha FLOAT NOT NULL, 
	seed BIGINT NOT NULL, 
	device VARCHAR NOT NULL, 
	created_at VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT audit_key UNIQUE (scoring_id, attack, steps, radius_scale, inputs, n, alpha, seed, device), 
	CONSTRAINT audit_attack CHECK (attack IN ('pgd', 'random', 'both')), 
	CONSTRAINT audit_counts CHECK (steps >= 1 AND inputs >= 1 AND n >= 1), 
	CONSTRAINT audit_radius_scale CHECK (radius_scale > 0), 
	CONSTRAINT audit_alpha CHECK (alpha > 0 AND alpha < 1), 
	FOREIGN KEY(scoring_id) REFERENCES scoring (id) ON DELETE CASCADE
);
INSERT INTO "audit" VALUES(1,1,'both',20,1.0,10,1000,0.001,0,'cpu','2026-01-01T00:00:00.000+00:00');
CREATE TABLE "audit_ball" (
	audit_id INTEGER NOT NULL, 
	input_index INTEGER NOT NULL, 
	guarantee VARCHAR NOT NULL, 
	class_index INTEGER NOT NULL, 
	radius FLOAT NOT NULL, 
	distance FLOAT NOT NULL, 
	attack VARCHAR NOT NULL, 
	n INTEGER NOT NULL, 
	mass FLOAT NOT NULL, 
	bound FLOAT NOT NULL, 
	excess FLOAT NOT NULL, 
	excess_lower FLOAT NOT NULL, 
	broken BOOLEAN NOT NULL, 
	seconds FLOAT NOT NULL, 
	PRIMARY KEY (audit_id, input_index, guarantee), 
	CONSTRAINT audit_ball_input_index CHECK (input_index >= 0), 
	CONSTRAINT audit_ball_guarantee CHECK (guarantee IN ('standard', 'cc', 'ncl', 'uncertain')), 
	CONSTRAINT audit_ball_attack CHECK (attack IN ('pgd', 'random')), 
	CONSTRAINT audit_ball_inside CHECK (distance >= 0 AND distance <= radius), 
	CONSTRAINT audit_ball_n CHECK (n >= 1), 
	CONSTRAINT audit_ball_masses CHECK (mass BETWEEN 0 AND 1 AND bound BETWEEN 0 AND 1), 
	CONSTRAINT audit_ball_excess CHECK (excess_lower <= excess), 
	CONSTRAINT audit_ball_broken CHECK (broken = (excess_lower > 0)), 
	CONSTRAINT audit_ball_seconds CHECK (seconds >= 0), 
	FOREIGN KEY(audit_id) REFERENCES audit (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "audit_ball" VALUES(1,0,'ncl',1,0.375,0.37,'pgd',1000,0.71,0.53,-0.42,-0.45,0,0.5);
INSERT INTO "audit_ball" VALUES(1,0,'uncertain',1,0.375,0.37,'pgd',1000,0.71,0.53,-0.42,-0.45,0,0.5);
CREATE TABLE bin_edges (
	run_id INTEGER NOT NULL, 
	measure VARCHAR NOT NULL, 
	edges BLOB NOT NULL, 
	coverages BLOB NOT NULL, 
	PRIMARY KEY (run_id, measure), 
	CONSTRAINT bin_edges_lengths CHECK (LENGTH(edges) = LENGTH(coverages)), 
	FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
);
INSERT INTO "bin_edges" VALUES(1,'entropy',X'9A9999999999B93F9A9999999999C93F666666666666E63F',X'000000000000E03FCDCCCCCCCCCCEC3F000000000000F03F');
CREATE TABLE certified_sample (
	scoring_id INTEGER NOT NULL, 
	input_index INTEGER NOT NULL, 
	label INTEGER NOT NULL, 
	class_index INTEGER NOT NULL, 
	standard_class INTEGER NOT NULL, 
	decision VARCHAR NOT NULL, 
	correct BOOLEAN NOT NULL, 
	is_uncertain BOOLEAN NOT NULL, 
	standard_decided BOOLEAN NOT NULL, 
	at_ceiling BOOLEAN NOT NULL, 
	n INTEGER NOT NULL, 
	certain_count INTEGER NOT NULL, 
	uncertain_count INTEGER NOT NULL, 
	vote_count INTEGER NOT NULL, 
	radius_standard FLOAT NOT NULL, 
	radius_cc FLOAT NOT NULL, 
	radius_ncl FLOAT NOT NULL, 
	radius_uncertain FLOAT NOT NULL, 
	rule VARCHAR NOT NULL, 
	competitors VARCHAR NOT NULL, radius_explicit FLOAT CONSTRAINT certified_sample_radius_explicit CHECK (radius_explicit >= 0), bounds_version INTEGER NOT NULL DEFAULT 1 CONSTRAINT certified_sample_bounds_version CHECK (bounds_version IN (1, 2)) CONSTRAINT certified_sample_order_of_every_form CHECK (bounds_version < 2 OR rule <> 'majority' OR class_index <> standard_class OR (radius_cc <= radius_standard AND radius_standard <= radius_ncl)), 
	PRIMARY KEY (scoring_id, input_index), 
	CONSTRAINT certified_sample_input_index CHECK (input_index >= 0), 
	CONSTRAINT certified_sample_decision CHECK (decision IN ('certain', 'uncertain', 'undecided')), 
	CONSTRAINT certified_sample_correct CHECK (correct = (decision = 'certain' AND class_index = label)), 
	CONSTRAINT certified_sample_is_uncertain CHECK (is_uncertain = (decision <> 'certain')), 
	CONSTRAINT certified_sample_flags CHECK (standard_decided IN (TRUE, FALSE) AND at_ceiling IN (TRUE, FALSE)), 
	CONSTRAINT certified_sample_n CHECK (n >= 1), 
	CONSTRAINT certified_sample_counts CHECK (certain_count >= 0 AND uncertain_count >= 0 AND certain_count + uncertain_count <= n AND vote_count >= 0 AND vote_count <= n), 
	CONSTRAINT certified_sample_radii CHECK (radius_standard >= 0 AND radius_cc >= 0 AND radius_ncl >= 0 AND radius_uncertain >= 0), 
	CONSTRAINT certified_sample_no_radius_without_proof CHECK (decision = 'certain' OR radius_cc = 0), 
	CONSTRAINT certified_sample_rule CHECK (rule IN ('majority', 'plurality', 'filtered', 'standard')), 
	CONSTRAINT certified_sample_competitors CHECK (competitors IN ('merged', 'class-wise')), 
	CONSTRAINT certified_sample_order CHECK (rule <> 'majority' OR competitors <> 'merged' OR class_index <> standard_class OR (radius_cc <= radius_standard AND radius_standard <= radius_ncl)), 
	FOREIGN KEY(scoring_id) REFERENCES scoring (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "certified_sample" VALUES(1,0,1,1,1,'certain',1,0,1,0,1000,900,50,940,0.3,0.25,0.375,0.0,'majority','merged',NULL,1);
INSERT INTO "certified_sample" VALUES(1,1,1,2,1,'undecided',0,1,1,0,1000,900,50,940,0.3,0.0,0.375,0.0,'majority','merged',NULL,1);
CREATE TABLE checkpoint (
	id INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	dataset VARCHAR NOT NULL, 
	sigma FLOAT NOT NULL, 
	objective VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	accuracy_clean FLOAT, 
	accuracy_noisy FLOAT, 
	configuration TEXT NOT NULL, 
	created_at VARCHAR NOT NULL, name VARCHAR, note TEXT, history TEXT, 
	PRIMARY KEY (id), 
	CONSTRAINT checkpoint_sha256_key UNIQUE (sha256), 
	CONSTRAINT checkpoint_sigma CHECK (sigma >= 0), 
	CONSTRAINT checkpoint_accuracy CHECK (accuracy_clean BETWEEN 0 AND 1 AND accuracy_noisy BETWEEN 0 AND 1)
);
INSERT INTO "checkpoint" VALUES(1,'cnn','digits',0.25,'gaussian','cnn.safetensors','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',0.99,0.97,'{"epochs": 20}','2026-11-23T16:17:12.824+00:00','small',NULL,'[{"accuracy_clean": 0.9, "accuracy_noisy": 0.8, "epoch": 1, "loss": 0.5, "seconds": 1.5}]');
CREATE TABLE checkpoint_tag (
	checkpoint_id INTEGER NOT NULL, 
	tag VARCHAR NOT NULL, 
	PRIMARY KEY (checkpoint_id, tag), 
	CONSTRAINT checkpoint_tag_not_empty CHECK (tag <> ''), 
	FOREIGN KEY(checkpoint_id) REFERENCES checkpoint (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "checkpoint_tag" VALUES(1,'baseline');
CREATE TABLE evidence (
	run_id INTEGER NOT NULL, 
	input_index INTEGER NOT NULL, 
	label INTEGER NOT NULL, 
	n0 INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	counts BLOB NOT NULL, 
	seconds FLOAT NOT NULL, unanswered INTEGER NOT NULL DEFAULT 0 CONSTRAINT evidence_unanswered CHECK (unanswered >= 0 AND unanswered <= n0 + n), 
	PRIMARY KEY (run_id, input_index), 
	CONSTRAINT evidence_input_index CHECK (input_index >= 0), 
	CONSTRAINT evidence_samples CHECK (n0 >= 0 AND n >= 0), 
	CONSTRAINT evidence_seconds CHECK (seconds >= 0), 
	FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
);
INSERT INTO "evidence" VALUES(1,0,1,100,1000,X'00636F756E7473',0.25,0);
INSERT INTO "evidence" VALUES(1,1,1,100,1000,X'00636F756E7473',0.25,0);
CREATE TABLE metric (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	scoring_id INTEGER, 
	ood_set VARCHAR, 
	name VARCHAR NOT NULL, 
	score VARCHAR, 
	radius FLOAT, 
	value FLOAT NOT NULL, 
	low FLOAT, 
	high FLOAT, 
	PRIMARY KEY (id), 
	CONSTRAINT metric_radius CHECK (radius IS NULL OR radius >= 0), 
	FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE, 
	FOREIGN KEY(scoring_id) REFERENCES scoring (id) ON DELETE CASCADE
);
CREATE TABLE ood_score (
	run_id INTEGER NOT NULL, 
	ood_set VARCHAR NOT NULL, 
	input_index INTEGER NOT NULL, 
	score VARCHAR NOT NULL, 
	value FLOAT NOT NULL, 
	PRIMARY KEY (run_id, ood_set, input_index, score), 
	FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE rsuq_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT rsuq_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "rsuq_version" VALUES('0005');
CREATE TABLE run (
	id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	checkpoint_id INTEGER, 
	model VARCHAR NOT NULL, 
	dataset VARCHAR NOT NULL, 
	split VARCHAR NOT NULL, 
	skip INTEGER NOT NULL, 
	subset_limit INTEGER, 
	inputs INTEGER NOT NULL, 
	subset_sha256 VARCHAR NOT NULL, 
	sigma FLOAT NOT NULL, 
	n0 INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	seed BIGINT NOT NULL, 
	device VARCHAR NOT NULL, 
	precision VARCHAR NOT NULL, 
	versions TEXT NOT NULL, 
	configuration TEXT NOT NULL, 
	configuration_hash VARCHAR NOT NULL, 
	edges_hash VARCHAR NOT NULL, 
	attempt INTEGER NOT NULL, 
	source VARCHAR, 
	warnings TEXT, 
	class_names TEXT, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	seconds FLOAT NOT NULL, name VARCHAR, note TEXT, 
	PRIMARY KEY (id), 
	CONSTRAINT run_key UNIQUE (configuration_hash, edges_hash, attempt), 
	CONSTRAINT run_status CHECK (status IN ('running', 'complete', 'interrupted')), 
	CONSTRAINT run_sigma CHECK (sigma > 0), 
	CONSTRAINT run_samples CHECK (n0 >= 0 AND n >= 0), 
	CONSTRAINT run_subset CHECK (inputs >= 0 AND skip >= 1 AND (subset_limit IS NULL OR subset_limit >= 1)), 
	CONSTRAINT run_attempt CHECK (attempt >= 1), 
	CONSTRAINT run_seconds CHECK (seconds >= 0), 
	FOREIGN KEY(checkpoint_id) REFERENCES checkpoint (id) ON DELETE SET NULL
);
INSERT INTO "run" VALUES(1,'certify','interrupted',1,'cnn','digits','test',1,NULL,4,'5555555555555555555555555555555555555555555555555555555555555555',0.25,100,1000,0,'cpu','fp32','{"torch": "2"}','{"sigma": 0.25}','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','4754aa8cd58523fc8bb6a8ded81bba16321e1109f023f67088a37ad19eab1c83',1,NULL,'["stopped by hand"]',NULL,'2026-11-23T16:17:12.830+00:00','2026-11-23T16:17:12.836+00:00',2.5,'first','half done');
CREATE TABLE run_tag (
	run_id INTEGER NOT NULL, 
	tag VARCHAR NOT NULL, 
	PRIMARY KEY (run_id, tag), 
	CONSTRAINT run_tag_not_empty CHECK (tag <> ''), 
	FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "run_tag" VALUES(1,'paper');
CREATE TABLE scoring (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	measure VARCHAR NOT NULL, 
	threshold FLOAT, 
	coverage FLOAT, 
	rule VARCHAR NOT NULL, 
	competitors VARCHAR NOT NULL, 
	alpha FLOAT NOT NULL, 
	family_size INTEGER NOT NULL, 
	created_at VARCHAR NOT NULL, bounds_version INTEGER NOT NULL DEFAULT 1 CONSTRAINT scoring_bounds_version CHECK (bounds_version IN (1, 2)), 
	PRIMARY KEY (id), 
	CONSTRAINT scoring_coverage CHECK (coverage BETWEEN 0 AND 1), 
	CONSTRAINT scoring_rule CHECK (rule IN ('majority', 'plurality', 'filtered', 'standard')), 
	CONSTRAINT scoring_competitors CHECK (competitors IN ('merged', 'class-wise', 'auto')), 
	CONSTRAINT scoring_alpha CHECK (alpha > 0 AND alpha < 1), 
	CONSTRAINT scoring_family_size CHECK (family_size >= 1), 
	FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
);
INSERT INTO "scoring" VALUES(1,1,'entropy',0.2,0.9,'majority','merged',0.001,1,'2026-11-23T16:17:12.832+00:00',1);
CREATE TABLE study (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	"plan" TEXT NOT NULL, 
	created_at VARCHAR NOT NULL, 
	updated_at VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT study_name UNIQUE (name), 
	CONSTRAINT study_name_not_empty CHECK (name <> '')
);
INSERT INTO "study" VALUES(1,'digits','name = "digits"','2026-01-01T00:00:00.000+00:00','2026-01-01T00:00:00.000+00:00');
CREATE TABLE study_run (
	study_id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	network VARCHAR NOT NULL, 
	objective VARCHAR NOT NULL, 
	sigma FLOAT NOT NULL, 
	seed BIGINT NOT NULL, 
	predictor VARCHAR NOT NULL, 
	PRIMARY KEY (study_id, run_id), 
	FOREIGN KEY(study_id) REFERENCES study (id) ON DELETE CASCADE, 
	FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "study_run" VALUES(1,1,'cnn','gaussian',0.25,0,'one pass');
CREATE INDEX checkpoint_trained_for ON checkpoint (model, dataset, sigma);
CREATE INDEX run_experiment ON run (dataset, model, sigma);
CREATE INDEX run_checkpoint ON run (checkpoint_id);
CREATE INDEX metric_run ON metric (run_id, name);
CREATE INDEX metric_scoring ON metric (scoring_id);
CREATE UNIQUE INDEX scoring_key ON scoring (run_id, measure, (threshold IS NULL), COALESCE(threshold, 0), rule, competitors, alpha, family_size, bounds_version);
CREATE VIEW certified AS
SELECT sample.scoring_id, scoring.run_id, run.model, run.dataset, run.split, run.sigma, run.n0, run.seed,
       scoring.measure, scoring.threshold, scoring.coverage AS threshold_coverage, sample.rule, sample.competitors,
       scoring.alpha, scoring.family_size, sample.input_index, sample.label, sample.class_index, sample.standard_class,
       sample.decision, sample.correct, sample.is_uncertain, sample.standard_decided, sample.at_ceiling, sample.n,
       sample.certain_count, sample.uncertain_count, sample.vote_count, sample.radius_standard, sample.radius_cc,
       sample.radius_ncl, sample.radius_uncertain, sample.radius_explicit, sample.bounds_version
FROM certified_sample AS sample
JOIN scoring ON scoring.id = sample.scoring_id
JOIN run ON run.id = scoring.run_id;
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
) AS summary;
COMMIT;
