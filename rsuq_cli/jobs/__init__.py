"""What a command does, without the command line: the rooms below, put together."""
