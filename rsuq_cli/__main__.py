"""`python -m rsuq_cli` is `rsuq`."""

from rsuq_cli.app import main

main()
