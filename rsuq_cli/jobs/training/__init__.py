"""Train: what is asked for, what begins, the run itself, and what has been trained already."""
