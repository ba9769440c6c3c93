"""From (model, inputs, noise) to evidence: integer counts, sampled once."""
