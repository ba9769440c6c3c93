-- Questions for the database itself, in any SQLite browser or with: sqlite3 "$(rsuq db path)" < examples/queries.sql
-- docs/schema.md explains every column. Radii are in pixel units.

-- Every scoring with its figures, the best CC radius first.
SELECT run_id, scoring_id, model, dataset, sigma, measure, ROUND(threshold_coverage, 2) AS calibrated,
       ROUND(coverage, 3) AS coverage, ROUND(acr_standard, 4) AS acr_standard, ROUND(acr_cc, 4) AS acr_cc,
       ROUND(acr_ncl, 4) AS acr_ncl, ROUND(100 * gain, 2) AS gain_percent, ROUND(100 * cc_cost, 2) AS cost_percent
FROM run_summary ORDER BY acr_cc DESC;

-- Certified accuracy of every scoring at a radius of 0.25: right, certain, and certified that far.
SELECT scoring_id, model, measure, 100.0 * SUM(correct AND radius_cc >= 0.25) / COUNT(*) AS certified_percent
FROM certified GROUP BY scoring_id ORDER BY certified_percent DESC;

-- Where rejection helps most: inputs with the largest difference between NCL and CC.
SELECT scoring_id, input_index, label, class_index, decision, radius_cc, radius_ncl
FROM certified ORDER BY radius_ncl - radius_cc DESC LIMIT 20;

-- Confidently wrong, and certified to stay so: the inputs to look at first.
SELECT scoring_id, input_index, label, class_index, radius_cc
FROM certified WHERE decision = 'certain' AND class_index <> label ORDER BY radius_cc DESC LIMIT 20;

-- Which classes are taken for which, by certain decisions.
SELECT scoring_id, label, class_index, COUNT(*) AS inputs
FROM certified WHERE decision = 'certain' GROUP BY scoring_id, label, class_index ORDER BY scoring_id, label, inputs DESC;

-- Two scorings on the same inputs: what one certifies at 0.25 and the other does not. Put your own numbers for 1 and 2.
SELECT SUM(first.ok AND NOT second.ok) AS only_first, SUM(second.ok AND NOT first.ok) AS only_second
FROM (SELECT input_index, correct AND radius_cc >= 0.25 AS ok FROM certified WHERE scoring_id = 1) AS first
JOIN (SELECT input_index, correct AND radius_cc >= 0.25 AS ok FROM certified WHERE scoring_id = 2) AS second
  ON second.input_index = first.input_index;

-- How far unfinished runs are, and how long each took.
SELECT run.id, run.model, run.status, COUNT(evidence.input_index) AS finished, run.inputs, ROUND(run.seconds) AS seconds
FROM run LEFT JOIN evidence ON evidence.run_id = run.id GROUP BY run.id ORDER BY run.id;
