"""The rejecter: fitted to noisy calibration images, its price chosen for what it may cost."""
