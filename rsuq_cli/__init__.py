"""rsuq: how far can a classifier's answer be trusted?

Randomized smoothing with uncertainty: two certified l2 radii for every input, kept in a database.
"""

__version__ = "0.1.0"
