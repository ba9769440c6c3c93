"""Measures of uncertainty: what they are, how logits become them, and the thresholds that reject."""
