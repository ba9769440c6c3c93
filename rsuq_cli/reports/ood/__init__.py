"""Out-of-distribution figures as tables."""
