"""One thin file for each subcommand: parse, import what it needs, call, render."""
