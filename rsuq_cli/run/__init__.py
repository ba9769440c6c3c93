"""What every command that samples shares: a request, model and data, an engine, bins, and the record of it."""
