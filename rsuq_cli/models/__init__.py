"""Networks that map images in [0, 1] to logits: named architectures, your own factories, and their weights."""
