"""A study: a grid of networks, objectives, noise levels and uncertainty sources, run to its end."""
