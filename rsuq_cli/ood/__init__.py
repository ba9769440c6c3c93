"""Out-of-distribution detection: scores, metrics, what is guaranteed of them, and selective classification."""
