"""Attempts to break certificates: attacks inside a ball, and a judge with fresh noise."""
