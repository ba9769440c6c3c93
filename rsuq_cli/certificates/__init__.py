"""The mathematics: bounds, radii, evidence, certificates, figures. Only numpy and scipy; nothing of ours, no torch."""
