"""The fit of a rejecter: what a noise sample is worth, and the regression that weighs by it."""
