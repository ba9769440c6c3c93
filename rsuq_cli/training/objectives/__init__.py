"""Training objectives, one file each: what is minimised on a batch."""
