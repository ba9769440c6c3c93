"""Which network a run is about: its weights, its normalisation, and whether it is the same one."""
