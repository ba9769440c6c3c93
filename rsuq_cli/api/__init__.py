"""What `import rsuq_cli` offers, without the command line."""
