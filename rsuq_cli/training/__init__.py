"""Training of classifiers that answer well under Gaussian noise."""
