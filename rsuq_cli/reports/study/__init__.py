"""Studies, as they are shown."""
