"""Data sets: a name or a path becomes inputs in [0, 1] with labels, in the splits train, calibration and test."""
